"""Everything that a deployment cannot make anew, copied while it serves, and brought back whole."""
