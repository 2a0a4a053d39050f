"""A place to run untrusted code."""
