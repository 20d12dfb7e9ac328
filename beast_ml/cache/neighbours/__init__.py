"""One process of a host that knows which entries are near a text; all workers ask it.

    worker -> client -> socket -> server -> engine: static gate -> MiniLM -> index -> candidates

MiniLM's weights and the vectors are in memory once, whatever the number of workers, and a worker imports neither
onnxruntime nor FAISS. A process that is away, too slow or too busy makes lookups miss; nothing fails by it.
"""
