"""The cache in a serving worker: answers are looked up before anything is routed, and kept once they are complete."""
