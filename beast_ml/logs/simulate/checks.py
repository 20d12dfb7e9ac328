"""Range checks of a simulation's parameters; each names the parameter, what was got and what is allowed."""

from __future__ import annotations

import math

from beast_ml.errors import InputError

__all__ = ["check_between", "check_count", "check_one_of", "check_positive", "check_share"]


def check_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the allowed words."""
    if value not in allowed:
        raise InputError(f"`{name}` == {value!r}, must be one of {', '.join(allowed)}")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside [low, high]."""
    if not low <= value <= high:
        raise InputError(f"`{name}` == {value}, must be between {low:g} and {high:g}")


def check_share(name: str, value: float) -> None:
    """Refuse a number outside [0, 1]."""
    check_between(name, value, 0.0, 1.0)


def check_positive(name: str, value: float) -> None:
    """Refuse a number that is not finite and above zero."""
    if not 0 < value < math.inf:
        raise InputError(f"`{name}` == {value}, must be a finite number > 0")


def check_count(name: str, value: int) -> None:
    """Refuse a number below one."""
    if value < 1:
        raise InputError(f"`{name}` == {value}, must be at least 1")
