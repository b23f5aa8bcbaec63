"""Programs that nobody of this project wrote, as cells: the examples in the toolchain's own documentation."""
