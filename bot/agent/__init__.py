"""Think and act: the loop, its tools, and the runtimes that do tasks."""
