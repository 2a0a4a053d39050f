"""A pinned commit -> a folder that holds it, by the host's git with every setting but ours shut out."""
