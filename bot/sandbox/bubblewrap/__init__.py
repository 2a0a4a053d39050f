"""Sandboxes by bubblewrap, without a daemon; the door is provider.BubblewrapProvider."""
