"""Adapters that do a task inside a sandbox."""
