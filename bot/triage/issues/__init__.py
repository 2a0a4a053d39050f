"""Judging an issue: what its text says by itself, what the repository says about it, and what a model adds."""
