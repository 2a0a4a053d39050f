"""Sandpiper: a GitHub bot that judges events, runs tasks in a sandbox and publishes what came out."""

__version__ = "0.1.0"
