"""Think and act: commands, tools, the loop. Doors: the runtimes in `runtimes/`. Sees Protocols, never an adapter."""
