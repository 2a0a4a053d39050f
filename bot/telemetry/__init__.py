"""Who sees: logs and displays."""
