"""Options that give a number to a name, such as `--benchmark gpt-5=0.71`; repeatable."""

from __future__ import annotations

from collections.abc import Sequence

from beast_ml.errors import InputError

__all__ = ["named_numbers"]


def named_numbers(option: str, pairs: Sequence[str], example: str) -> dict[str, float]:
    """Return name -> number.

    Parameters
    ----------
    option
        What the user typed before them, for messages.
    pairs
        Texts such as ``gpt-5=0.71``; a name may hold "=".
    example
        One that is right.

    Raises
    ------
    InputError
        If one is no such pair.

    Examples
    --------
    >>> named_numbers("--benchmark", ["a=0.5", "b=c=1"], "a=0.5")
    {'a': 0.5, 'b=c': 1.0}
    """
    found = {}
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"`{option}` == {pair!r}, must be NAME=NUMBER such as {example}")
    return found
