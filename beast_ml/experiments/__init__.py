"""Which policy version a request is decided by, and what that tells."""
