"""The OpenAI-compatible gateway: routes, reserves, calls, falls back, streams, settles, logs."""
