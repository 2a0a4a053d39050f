"""GitHub in and out: events, commands, reader, writer, text."""
