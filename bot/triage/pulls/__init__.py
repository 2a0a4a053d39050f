"""A pull request: where it stands, what reviewers want, what its diff does wrong, and what to do about it."""
