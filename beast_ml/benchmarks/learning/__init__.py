"""Figures on learning from logs: estimates of policies that never ran, and gains reached from partial feedback."""
