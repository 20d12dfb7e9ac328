"""Figures on learning from logs, and on what a deployed router's log tells."""
