"""One table of ours beside what others do on the same data in the same run."""
