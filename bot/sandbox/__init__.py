"""A place to run untrusted code; its door is docker.DockerProvider. Imports protocols, types and errors only."""
