"""Where the registry is; free of mlflow, so that serving can hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from beast_ml.errors import SettingsError
from beast_ml.features.distill import user_cache

__all__ = ["CHAMPION", "PREVIOUS", "ROUTER", "TrackingConfig", "default_cache_dir"]

ROUTER: Final = "beast-router"
"""The registered model that is a bundle."""

CHAMPION: Final = "champion"
"""Alias of what serves."""

PREVIOUS: Final = "previous"
"""Alias of what served before; `beast rollback` goes back to it."""

_SQLITE: Final = "sqlite:///"
_USER_INFO: Final = re.compile(r"//[^/\s]+@")


@dataclass(frozen=True)
class TrackingConfig:
    """Which MLflow store holds runs and models.

    Relative paths are taken from the working directory and made absolute at once, because MLflow writes artifact
    paths into its database and a child process may run elsewhere.

    Parameters
    ----------
    uri
        ``sqlite:///FILE``, or the http(s) address of an MLflow server.
    artifacts
        Folder for the files of a SQLite store; a server keeps them itself.
    experiment
        Name of the experiment that training runs belong to.

    Raises
    ------
    SettingsError
        If the address is of no such kind.
    """

    uri: str = "sqlite:///mlflow.db"
    artifacts: Path = Path("mlartifacts")
    experiment: str = "beast-ml"

    def __post_init__(self) -> None:
        object.__setattr__(self, "artifacts", Path(self.artifacts).absolute())
        if self.uri.startswith(_SQLITE) and len(self.uri) > len(_SQLITE):
            database = Path(self.uri.removeprefix(_SQLITE)).absolute()
            object.__setattr__(self, "uri", f"{_SQLITE}{database}")
        elif self.is_server and urlsplit(self.uri).hostname:
            object.__setattr__(self, "uri", self.uri.rstrip("/"))
        else:
            raise SettingsError(
                f"`tracking.uri` == {_USER_INFO.sub('//', self.uri)!r}, must be sqlite:///FILE or http(s)://HOST:PORT; "
                "for another database start `mlflow server` in front of it"
            )
        if not self.experiment.strip():
            raise SettingsError("`tracking.experiment` is empty, must be a name")

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server is asked, rather than a SQLite file opened."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        """The address without user and password: for messages, logs and whatever else is read by others."""
        return _USER_INFO.sub("//", self.uri) if self.is_server else self.uri

    @property
    def database(self) -> Path | None:
        """The SQLite file, or None for a server."""
        return None if self.is_server else Path(self.uri.removeprefix(_SQLITE))


def default_cache_dir() -> Path:
    """Return where downloaded bundles are kept: below ``BEAST_CACHE_DIR``, else below the user's cache folder."""
    return user_cache() / "bundles"
