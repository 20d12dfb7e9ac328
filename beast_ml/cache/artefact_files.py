"""The files of a trained cache, by name: what a router bundle, too, lets in."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CACHE_MANIFEST",
    "CURVES_FILE",
    "GATE_FILE",
    "KNOWN_FILE",
    "MODEL_FILE",
    "TABLE_FILE",
    "TOKENIZER_FILE",
    "VERIFIER_FOLDER",
    "is_cache_file",
]

CACHE_MANIFEST: Final = "manifest.json"
"""Hashes of all files."""

CURVES_FILE: Final = "curves.json"
"""Operating points of the verifier."""

GATE_FILE: Final = "gate.safetensors"
"""The static gate."""

KNOWN_FILE: Final = "known.safetensors"
"""Vectors of known prompts."""

MODEL_FILE: Final = "minilm.onnx"
"""MiniLM as ONNX."""

TABLE_FILE: Final = "table.safetensors"
"""The static table."""

TOKENIZER_FILE: Final = "tokenizer.json"
"""The tokenizer of both encoders."""

VERIFIER_FOLDER: Final = "verifier"
"""The verifier's own folder."""

_FILES: Final = frozenset({CACHE_MANIFEST, CURVES_FILE, GATE_FILE, KNOWN_FILE, MODEL_FILE, TABLE_FILE, TOKENIZER_FILE})
_OF_VERIFIER: Final = re.compile(rf"{VERIFIER_FOLDER}/\w[\w.-]*\.(json|npz|safetensors)")


def is_cache_file(name: str) -> bool:
    """Whether a file of that relative path may be in a trained cache.

    Examples
    --------
    >>> is_cache_file("minilm.onnx"), is_cache_file("verifier/verifier.npz"), is_cache_file("verifier/run.py")
    (True, True, False)
    """
    return name in _FILES or _OF_VERIFIER.fullmatch(name) is not None
