"""Lines that many prompts share (instructions, few-shot examples) hide what a request is about: take them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

__all__ = ["find_boilerplate", "strip_boilerplate"]

_MIN_PROMPTS: Final = 20
_MIN_SHARE: Final = 0.02
_MIN_CHARS: Final = 2
_MAX_LINES: Final = 4000
_SCAN_CHARS: Final = 32_000


def find_boilerplate(prompts: Sequence[str]) -> frozenset[str]:
    """Return the digests of the lines that occur in at least 2% of the prompts, and in at least 20 of them.

    Digests, not lines: what is stored with a router must not quote its users. Single characters are left alone.
    """
    counts: Counter[str] = Counter()
    for prompt in prompts:
        counts.update({stripped for line in _lines(prompt) if len(stripped := line.strip()) >= _MIN_CHARS})
    least = max(_MIN_PROMPTS, _MIN_SHARE * len(prompts))
    frequent = sorted(((n, line) for line, n in counts.items() if n >= least), reverse=True)
    return frozenset(_digest(line) for _, line in frequent[:_MAX_LINES])


def strip_boilerplate(prompt: str, boilerplate: frozenset[str]) -> tuple[str, float]:
    """Return the prompt without its boilerplate lines, and the share of its lines that were taken out (0..1).

    A prompt that is boilerplate throughout is returned whole, with a share of 1.
    """
    if not boilerplate or not prompt.strip():
        return prompt, 0.0
    lines = _lines(prompt)
    kept = [
        line for line in lines if len(stripped := line.strip()) < _MIN_CHARS or _digest(stripped) not in boilerplate
    ]
    text = "\n".join(kept)
    if not text.strip():
        return prompt, 1.0
    return (text if len(kept) < len(lines) else prompt), 1.0 - len(kept) / len(lines)


def _lines(prompt: str) -> list[str]:
    if len(prompt) > 2 * _SCAN_CHARS:
        prompt = f"{prompt[:_SCAN_CHARS]}\n{prompt[-_SCAN_CHARS:]}"
    return prompt.split("\n")


def _digest(line: str) -> str:
    return blake2b(line.encode("utf-8", "replace"), digest_size=8).hexdigest()
