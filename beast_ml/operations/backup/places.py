"""Where a deployment keeps what a backup holds, and where in the backup each of it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.registry.config import TrackingConfig

__all__ = ["BUNDLES", "DEFAULTS", "Kept", "Places"]

BUNDLES: Final = "bundles"
"""Folder of the bundles that serve, or that a registry's server has aliases for."""

DEFAULTS: Final = {
    "state": "data/serving",
    "logs": "data/logs",
    "quarantine": "data/quarantine",
    "learning": "data/learning",
    "database": "mlflow.db",
    "artifacts": "mlartifacts",
    "router": "data/router",
}
"""Where a part goes that did not lie below the working directory."""


class Kept(msgspec.Struct, frozen=True):
    """Where the parts of a deployment go, relative to its working directory.

    Parameters
    ----------
    state, logs, quarantine, learning
        Folders of serving, of the log, of bad rows, and of the learning loop.
    database, artifacts
        Of a SQLite registry.
    router
        Bundle folder that is served without a registry.
    moved
        Settings that said otherwise: they named a place outside the working directory.
    """

    state: str
    logs: str
    quarantine: str
    learning: str
    database: str
    artifacts: str
    router: str
    moved: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where a deployment keeps what cannot be made anew.

    Parameters
    ----------
    state, logs, quarantine, learning
        As in `Kept`, as its settings give them.
    tracking
        The registry.
    router
        Bundle folder that is served without a registry; None: the registry says what is served.
    settings
        Its ``mlflow.yaml``; None: it has none.
    database_url, redis_url
        What its hosts share.
    """

    state: Path
    logs: Path
    quarantine: Path
    learning: Path
    tracking: TrackingConfig
    router: Path | None = None
    settings: Path | None = None
    database_url: str | None = None
    redis_url: str | None = None

    def kept(self, base: Path) -> Kept:
        """Return where its parts go, seen from its working directory."""
        places = {
            "state": self.state,
            "logs": self.logs,
            "quarantine": self.quarantine,
            "learning": self.learning,
            "database": self.tracking.database or Path(DEFAULTS["database"]),
            "artifacts": self.tracking.artifacts,
            "router": self.router or Path(DEFAULTS["router"]),
        }
        inside = {}
        for name, path in places.items():
            whole = (base / path).resolve()
            if whole.is_relative_to(base.resolve()) and whole != base.resolve():
                inside[name] = str(whole.relative_to(base.resolve()))
        found = DEFAULTS | inside
        return Kept(**found, moved=tuple(sorted(places.keys() - inside.keys())))
