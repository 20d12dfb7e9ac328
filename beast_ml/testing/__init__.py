"""Factories and fakes for tests; public, so that third parties can use them. Nothing imports it."""
