"""The version, in a file of its own: what only needs it need not import the package's public names."""

__all__ = ["__version__"]

__version__ = "0.1.0"
