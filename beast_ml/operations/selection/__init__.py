"""What was chosen against what should have been: selection accuracy, what context buys, what fallbacks cost."""
