"""What keeps a router good over time; for now: training it."""
