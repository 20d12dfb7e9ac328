"""Addresses of registered routers: ``models:/beast-router@champion`` and ``models:/beast-router/3``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from beast_ml.errors import InputError
from beast_ml.registry.config import CHAMPION, ROUTER

__all__ = ["ModelUri"]

_URI: Final = re.compile(r"models:/(?P<name>[^/@:\s]+)(@(?P<alias>[A-Za-z][\w.\-]*)|/(?P<version>[1-9]\d*))")


@dataclass(frozen=True)
class ModelUri:
    """A registered model, at an alias or at a version (exactly one of the two is set).

    Parameters
    ----------
    name
        Of the registered model.
    """

    name: str
    alias: str | None = None
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> ModelUri:
        """Return the parts of an address.

        Raises
        ------
        InputError
            If the text is no such address.
        """
        match = _URI.fullmatch(text)
        if match is None:
            raise InputError(
                f"{text!r} is no address of a registered model: write models:/{ROUTER}@{CHAMPION} or models:/{ROUTER}/3"
            )
        version = match["version"]
        return cls(match["name"], match["alias"], int(version) if version else None)

    def __str__(self) -> str:
        return f"models:/{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}")
