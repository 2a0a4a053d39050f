"""What happened: runs, artifacts, diffs."""
