"""The report of a week, month, quarter or year: what changed, cost, was learnt and broke, and what to do next."""
