"""What log and outcome files look like out there, one file per source."""
