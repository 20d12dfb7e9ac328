"""Logs come in here: schema, sources, ingest with quarantine, store, simulation."""
