"""A program of its own, that runs one session (`__main__`): it must start fast, so it knows nothing of JupyterHub."""
