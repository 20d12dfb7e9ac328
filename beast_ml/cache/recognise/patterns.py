"""How recognisers write down what they look for."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ASKED_POLITELY", "any_of", "starts_with", "words"]

ASKED_POLITELY: Final = r"^\W*(?:(?:hi|hello|hey|please|kindly|so|and|ok|okay|also|(?:can|could|would) you)\W+)*"
"""What may stand before the first word that matters."""


def any_of(*alternatives: str) -> re.Pattern[str]:
    """Return the pattern that finds any of the alternatives, which begin with letters, in a text of small letters."""
    return re.compile(r"\b(?=[a-z])(?:" + "|".join(alternatives) + ")")  # not tried where words end: half the time


def starts_with(*alternatives: str) -> re.Pattern[str]:
    """Return the pattern of a request that starts, politeness aside, with any of the alternatives."""
    return re.compile(ASKED_POLITELY + r"(?:" + "|".join(alternatives) + r")\b")


def words(*lines: str) -> frozenset[str]:
    """Return the words of some lines."""
    return frozenset(word for line in lines for word in line.split())
