"""API keys of tenants: what a key is, where its hash is kept, and how a worker knows it."""
