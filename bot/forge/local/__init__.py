"""A folder with a git repository -> a forge: what demo and dry runs publish to."""
