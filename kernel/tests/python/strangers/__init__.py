"""Programs by authors outside this project, as cells: the examples in the toolchain's own documentation."""
