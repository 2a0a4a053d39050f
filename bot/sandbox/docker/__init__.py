"""Sandboxes as hardened Docker containers; the door is provider.DockerProvider."""
