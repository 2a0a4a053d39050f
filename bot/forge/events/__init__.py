"""A webhook's bytes -> an event, and a comment's text -> a command. Sans-I/O; imports types and settings only."""
