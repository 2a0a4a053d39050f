"""An output -> an object on GitHub, exactly once: the writer, and one file for each kind of output."""
