"""Prompts put to endpoints outside of any traffic: to try a model, or to compare several on the same prompts.

Nothing here is part of the request path. Calls go over the gateway's connections, and mean what they mean there.
"""
