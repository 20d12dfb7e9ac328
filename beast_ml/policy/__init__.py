"""From predictions to a choice: utility, constraints, exploration, baselines, the frontier."""
