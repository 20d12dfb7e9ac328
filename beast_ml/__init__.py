"""Predictive LLM routing: turn the logs of an LLM router into a better router."""

__version__ = "0.1.0"
