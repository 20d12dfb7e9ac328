"""Which entries of a partition are nearest to a text: exact while a partition is small, by inverted lists beyond."""
