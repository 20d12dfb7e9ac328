"""The live dashboard: a process of its own that reads what servers count and what the log says, and shows it."""
