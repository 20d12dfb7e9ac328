"""Replays of what was asked, on a virtual clock, through the cache's own parts: what settings would have brought."""
