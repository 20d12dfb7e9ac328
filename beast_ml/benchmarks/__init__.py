"""Reruns every published figure: routing quality, cost, learning from logs, speed."""
