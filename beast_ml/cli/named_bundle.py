"""The router that an option names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import RegistryError

if TYPE_CHECKING:
    from beast_ml.bundle.read import RouterBundle
    from beast_ml.settings import Settings

__all__ = ["named_bundle"]


def named_bundle(router: str | None, settings: Settings) -> RouterBundle | None:
    """Return the bundle of an option ``--router``: a folder or a registry address; the champion where none is named.

    Returns
    -------
    RouterBundle or None
        None where ``none`` is named, or no champion is there.

    Raises
    ------
    BundleError
        If the bundle cannot be read.
    RegistryError
        If what is named is not in the registry, or that does not answer.
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

    try:
        return read_bundle(resolve(address, TrackingConfig(**settings.tracking.model_dump())))
    except RegistryError as error:
        if router is not None:
            raise
        say(f"no champion ({error}): routers are learnt from the log itself")
        return None
