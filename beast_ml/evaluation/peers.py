"""Other people's routers in the same run: a package offers them through the entry-point group ``beast_ml.peers``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final, cast

from beast_ml.errors import InputError, MissingExtraError
from beast_ml.evaluation.learner import Learner

__all__ = ["PEER_GROUP", "installed_peers"]

PEER_GROUP: Final = "beast_ml.peers"
"""Entry points of this group name callables without arguments that return a `Learner`."""


def installed_peers() -> dict[str, Learner]:
    """Return the installed external routers by name; those that lack what they wrap are passed over.

    Raises
    ------
    InputError
        If none is installed.
    """
    peers = {}
    for point in sorted(entry_points(group=PEER_GROUP), key=lambda point: point.name):
        try:
            peers[point.name] = cast("Callable[[], Learner]", point.load())()
        except MissingExtraError:
            continue
    if not peers:
        raise InputError(
            f"no external router is installed to compare with: pip install a package that offers one (an entry point "
            f"in the group {PEER_GROUP!r}), or leave out the peers"
        )
    return peers
