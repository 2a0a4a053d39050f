"""A place to run untrusted code. Doors: docker.provider, bubblewrap.provider, local, pool. Imports seams only."""
