"""Which version serves, and which served before it.

The alias `champion` is the truth and is moved by a single write. The history is a tag beside it, written before a
step forward and after a step back; whatever a crash or another process leaves in it is put right when it is read:
what stands behind the champion's last place in the history has not happened, or is undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from beast_ml.errors import RegistryError
from beast_ml.registry.config import CHAMPION, PREVIOUS, ROUTER, TrackingConfig
from beast_ml.registry.connection import translated
from beast_ml.registry.quiet_mlflow import mlflow

__all__ = ["HISTORY_TAG", "SINCE_TAG", "Champions", "crown", "read_champions", "settle", "step_back"]

HISTORY_TAG: Final = "champion_history"
"""Tag of the registered model: versions that were champion, oldest first, for example ``1 > 2 > 4``."""

SINCE_TAG: Final = "champion_since"
"""Tag of a version: when it was last made champion, such as ``2026-11-30 08:41:17 UTC``."""

_SEPARATOR: Final = " > "


@dataclass(frozen=True)
class Champions:
    """The line of champions.

    Parameters
    ----------
    line
        Versions, oldest first; the last is the champion when there is one.
    has_champion
        Whether the alias is set.
    """

    line: tuple[int, ...] = ()
    has_champion: bool = False

    @property
    def current(self) -> int | None:
        """The version that serves."""
        return self.line[-1] if self.has_champion else None

    @property
    def before(self) -> tuple[int, ...]:
        """Those that served before it, oldest first."""
        return self.line[:-1] if self.has_champion else self.line

    def followed_by(self, version: int) -> Champions:
        """Return the line with a new champion at its end."""
        return Champions((*self.line, version), has_champion=True)


def reconcile(written: tuple[int, ...], current: int | None) -> Champions:
    """Return the line that a written history and the alias together tell."""
    if current is None:
        return Champions(written)
    if current in written:
        last = len(written) - written[::-1].index(current)
        return Champions(written[:last], has_champion=True)
    return Champions((*written, current), has_champion=True)  # the alias was moved by hand


def read_champions(client: Any, config: TrackingConfig) -> Champions:
    """Return the line of champions; versions that were deleted since are left out.

    Raises
    ------
    RegistryError
        If no router is registered yet, or the history cannot be read.
    """
    with translated(config):
        try:
            model = client.get_registered_model(ROUTER)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise RegistryError(
                    f"the registry at {config.shown} holds no {ROUTER}: train one first (`beast train`)"
                ) from error
            raise
        existing = {int(version.version) for version in client.search_model_versions(f"name = '{ROUTER}'")}
    text = model.tags.get(HISTORY_TAG, "")
    try:
        written = tuple(int(version) for version in text.split(_SEPARATOR) if version)
    except ValueError as error:
        raise RegistryError(
            f"the tag {HISTORY_TAG} of {ROUTER} is {text!r}, must be versions like '1{_SEPARATOR}2': mend it in the UI"
        ) from error
    current = model.aliases.get(CHAMPION)
    return reconcile(tuple(v for v in written if v in existing), None if current is None else int(current))


def crown(client: Any, config: TrackingConfig, champions: Champions, version: int) -> Champions:
    """Make a version champion and return the new line; doing it again changes nothing."""
    is_new = champions.current != version
    if is_new:
        champions = champions.followed_by(version)
    with translated(config):
        _write(client, champions)
        if is_new:
            _say_since(client, version)
        client.set_registered_model_alias(ROUTER, CHAMPION, str(version))
        _point_at_previous(client, champions)
    return champions


def step_back(client: Any, config: TrackingConfig, champions: Champions) -> Champions:
    """Make the champion's predecessor champion again and return the shorter line.

    Raises
    ------
    RegistryError
        If there is none.
    """
    if not champions.before:
        raise RegistryError(f"no earlier champion of {ROUTER} to go back to; promote a version with `beast promote`")
    line = Champions(champions.before, has_champion=True)
    with translated(config):
        _say_since(client, line.line[-1])
        client.set_registered_model_alias(ROUTER, CHAMPION, str(line.current))
        _write(client, line)
        _point_at_previous(client, line)
    return line


def settle(client: Any, config: TrackingConfig) -> Champions:
    """Have the history and the alias of the previous champion agree with the champion, and return the line.

    A process that was killed in the middle of a step leaves them behind; the champion itself is not touched.
    """
    champions = read_champions(client, config)
    with translated(config):
        _write(client, champions)
        _point_at_previous(client, champions)
    return champions


def _write(client: Any, champions: Champions) -> None:
    client.set_registered_model_tag(ROUTER, HISTORY_TAG, _SEPARATOR.join(map(str, champions.line)))


def _say_since(client: Any, version: int) -> None:
    client.set_model_version_tag(ROUTER, str(version), SINCE_TAG, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _point_at_previous(client: Any, champions: Champions) -> None:
    if champions.before:
        client.set_registered_model_alias(ROUTER, PREVIOUS, str(champions.before[-1]))
    else:
        client.delete_registered_model_alias(ROUTER, PREVIOUS)
