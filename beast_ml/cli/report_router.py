"""The router that a report is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import RegistryError

if TYPE_CHECKING:
    from beast_ml.bundle.read import RouterBundle
    from beast_ml.settings import Settings

__all__ = ["bundle_of"]


def bundle_of(router: str | None, settings: Settings) -> RouterBundle | None:
    """Return the bundle of a folder or a registry address; None where there is no champion, or none is wanted.

    Parameters
    ----------
    router
        "none" where none is wanted; None: what the server serves.
    """
    from beast_ml.bundle.read import read_bundle

    if router == "none":
        return None
    address = router or settings.serving.router
    folder = Path(address)
    if not address.startswith("models:"):
        return read_bundle(folder)
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.resolve import resolve

    tracking = TrackingConfig(**settings.tracking.model_dump())
    if router is None and tracking.database is not None and not tracking.database.exists():
        say(f"no champion: there is no registry at {tracking.uri} yet")  # looking must not make one
        return None
    try:
        return read_bundle(resolve(address, tracking))
    except RegistryError as error:
        if router is not None:
            raise
        say(f"no champion: {error}")
        return None
