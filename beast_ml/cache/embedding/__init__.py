"""Texts to the vectors that near entries are found by: MiniLM through onnxruntime, and the static gate before it."""
