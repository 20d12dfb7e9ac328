"""Does routing pay, by how much, with what interval? Metrics, baselines in the same run, and a verdict."""
