"""Faults on purpose: a whole deployment under load, one fault after another, and what must hold throughout."""
