"""What is read from a dead sandbox, by code that trusts nothing it finds."""
