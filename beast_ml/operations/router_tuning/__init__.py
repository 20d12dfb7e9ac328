"""Search for settings that make a better router, and prove on questions the search never saw that they do."""
