"""A notebook that is run by a program fails where a cell fails, and only there."""

import functools
import os
import random
import subprocess
import sys

import nbclient
import nbformat
import pytest

from strangers import notebooks

# Subjects whose crates are compiled in less than a minute.
QUICK = ["itertools", "rand", "statrs"]


def notebook_of(*cells):
    cells = [nbformat.v4.new_code_cell(code) for code in cells]
    kernelspec = {"name": "forklore", "display_name": "Rust", "language": "rust"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})


def run(*cells):
    notebook = notebook_of(*cells)
    nbclient.NotebookClient(notebook, kernel_name="forklore", timeout=120).execute()
    return notebook


@pytest.mark.parametrize(
    "broken, ename",
    [('panic!("on purpose")', "Panic"), ('"x".parse::<i32>()?;', "QuestionMark")],
)
def test_nbclient_stops_at_the_cell_that_fails(broken, ename):
    with pytest.raises(nbclient.exceptions.CellExecutionError) as failed:
        run("let a = 1;", broken, "a")
    assert failed.value.ename == ename


def test_nbclient_gets_every_output():
    notebook = run('println!("text"); eprintln!("error"); 7', 'forklore::input("name? ").is_err()')
    outputs = [(output["output_type"], output.get("name")) for output in notebook.cells[0].outputs]
    assert sorted(outputs, key=str) == [("execute_result", None), ("stream", "stderr"), ("stream", "stdout")]
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert notebook.cells[1].outputs[0]["data"]["text/plain"] == "true"


def test_nbmake_fails_the_notebook_whose_cell_fails(tmp_path):
    notebooks = {
        "whole": notebook_of("let a = 1;", 'assert_eq!(a, 1); println!("{a}");'),
        "broken": notebook_of("let a = 1;", "assert_eq!(a, 2);", "a"),
    }
    for name, notebook in notebooks.items():
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", "-v", "--color=no", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 1 and "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "broken.ipynb" in ran.stdout.split("short test summary")[1], ran.stdout
    assert "assertion `left == right` failed" in ran.stdout, ran.stdout


@pytest.mark.parametrize("to", ["script", "markdown", "html", "slides", "asciidoc", "notebook"])
def test_nbconvert_exports_a_notebook_that_has_run(tmp_path, to):
    file = tmp_path / "run.ipynb"
    nbformat.write(ran_once(), file)
    command = [sys.executable, "-m", "nbconvert", "--to", to, "--output", "exported", str(file)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    [exported] = tmp_path.glob("exported*")
    assert "fn exported" in exported.read_text().replace("&nbsp;", " ") or to in ("html", "slides")
    assert to != "script" or exported.suffix == ".rs"


@functools.cache
def ran_once():
    return run("fn exported() -> u8 { 7 }", "exported()")


def test_what_public_notebooks_call_shows_what_it_should(new_kernel):
    # All subjects are run by command (see `strangers/notebooks.py`).
    seed = int(os.environ.get("FORKLORE_SEED", 16))
    print(f"FORKLORE_SEED={seed}")
    for subject in ["display", random.Random(seed).choice(QUICK)]:
        kernel = new_kernel()
        cells = notebooks.SUBJECTS[subject]
        added = kernel.run(cells[0][0], timeout=notebooks.SECONDS)
        if added.status == "error" and "crates.io" in str(added):
            pytest.skip("the registry cannot be reached")
        assert notebooks.wrong(cells, kernel) == 0, subject
        kernel.stop()
