"""The router bundle: an immutable folder of numpy and json whose every hash is verified."""
