"""The `beast` command; one file per command group."""
