"""Predict quality, cost, latency and reliability of every candidate at once; served as numpy heads."""
