"""Models side by side on the same requests: by outcomes of all of them, or by a log of which one answered each."""
