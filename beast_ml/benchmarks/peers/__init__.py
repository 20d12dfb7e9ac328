"""Other people's routers behind our learner contract, on the same embeddings."""
