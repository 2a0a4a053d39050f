"""A run -> the closed list of outputs and the words that people read. Pure: no clock, no I/O."""
