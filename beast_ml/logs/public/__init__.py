"""Public outcome sets: what there is, where it lives, and how it becomes an outcome table."""
