"""Which bundles a registry has aliases for: what is worth keeping of one that somebody else backs up."""

from __future__ import annotations

from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect, translated
from beast_ml.registry.resolve import ResolvedBundle, resolve_version

__all__ = ["aliased_bundles"]


def aliased_bundles(config: TrackingConfig) -> dict[str, ResolvedBundle]:
    """Return the verified bundle of each alias of the router, downloading what is not in the cache.

    Raises
    ------
    RegistryError
        If the registry holds no router.
    RegistryUnavailableError
        If it does not answer.
    """
    client = connect(config)
    with translated(config):
        aliases = sorted(client.get_registered_model(ROUTER).aliases)
    return {alias: resolve_version(f"models:/{ROUTER}@{alias}", config) for alias in aliases}
