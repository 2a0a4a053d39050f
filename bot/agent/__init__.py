"""Think and act: commands, tools and the loop. Doors: the runtimes in `runtimes/`. Sees only Protocols, never an adapter."""
