"""Query ids and file digests of public sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["content_id", "file_sha256"]

_ID_BYTES = 10  # 80 bits: a clash among ten million queries has probability 4e-11
_BLOCK_BYTES = 1 << 20


def content_id(text: str, *, prefix: str = "q") -> str:
    """Return an id made of a text's content, so that the same text has the same id wherever it is read.

    Examples
    --------
    >>> content_id("What is 2 + 2?")
    'q-b5d8ad61634c140441e5'
    """
    return f"{prefix}-{hashlib.blake2b(text.encode(), digest_size=_ID_BYTES).hexdigest()}"


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
