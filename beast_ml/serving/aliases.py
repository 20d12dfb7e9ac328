"""Routers behind other aliases of the registered model, for experiments: challengers and shadows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from beast_ml.events import events
from beast_ml.registry.bundle_pointer import (
    BundlePointer,
    FileSignature,
    PointerFolder,
    file_signature,
    read_pointer,
    write_pointer,
)
from beast_ml.registry.model_uri import ModelUri
from beast_ml.serving.refusals import Refusals, refusal_of
from beast_ml.serving.router import Router
from beast_ml.serving.swap import Swap, Trials

__all__ = ["FollowedAliases"]


class _Followed:
    """One alias. Its pointer's file is the request to follow it, and the watcher's answer."""

    def __init__(self, uri: str, pointer_file: Path) -> None:
        self.uri = uri
        self.pointer_file = pointer_file
        self.router: Router | None = None
        self.pointer: BundlePointer | None = None
        self._seen: FileSignature | None = None

    def ask(self) -> None:
        """Ask the watcher to follow it, if nobody did."""
        known = read_pointer(self.pointer_file)
        if known is None or known.uri != self.uri:
            write_pointer(self.pointer_file, BundlePointer(self.uri), durable=False)

    def read(self) -> BundlePointer | None:
        """Return where it points, as far as that is known."""
        seen = file_signature(self.pointer_file)
        if seen is None:
            self.ask()  # another worker, which does not follow it any more, took it away
        elif seen != self._seen:
            self._seen = seen
            self.pointer = read_pointer(self.pointer_file) or self.pointer
        return self.pointer


class FollowedAliases:
    """The aliases that a worker follows beside the router that serves.

    Parameters
    ----------
    files
        What workers and watcher of this host share.
    trials, refusals
        Of the worker.
    listener
        Is called with what became of each bundle.
    """

    def __init__(
        self, files: PointerFolder, trials: Trials, refusals: Refusals, listener: Callable[[Swap], None]
    ) -> None:
        self._files = files
        self._trials = trials
        self._refusals = refusals
        self._listener = listener
        self._followed: dict[str, _Followed] = {}

    def follow(self, name: str, aliases: Collection[str]) -> None:
        """Follow these aliases of a registered model, and no others."""
        uris = {alias: str(ModelUri.parse(f"models:/{name}@{alias}")) for alias in aliases}
        for alias in set(self._followed) - set(uris):
            self._followed.pop(alias).pointer_file.unlink(missing_ok=True)
        for alias, uri in uris.items():
            followed = self._followed.setdefault(alias, _Followed(uri, self._files.followed / f"{alias}.json"))
            followed.ask()

    def router(self, alias: str) -> Router | None:
        """Return the router behind an alias; None while there is none that can serve."""
        followed = self._followed.get(alias)
        return None if followed is None else followed.router

    def digests(self) -> dict[str, str | None]:
        """Return the digest behind each alias; None while there is none that can serve."""
        return {alias: each.router.version if each.router else None for alias, each in self._followed.items()}

    async def look(self, serving: Router) -> None:
        """Look once where the aliases point, and load what is new."""
        for alias, followed in tuple(self._followed.items()):
            pointer, old = followed.read(), followed.router or serving
            if pointer is None or pointer.digest is None or pointer.digest == self.digests().get(alias):
                continue
            if self._refusals.get(pointer.digest) is not None:
                continue
            is_serving = pointer.digest == serving.version
            router = serving if is_serving else await self._trials.router(pointer, old, alias)
            if router is not None:
                followed.router = router
                self._listener(Swap("swapped", router.version, pointer.version, old.version, serving.version, alias))

    def drop(self, alias: str, error: Exception, serving: Router) -> bool:
        """Let go of a router that broke; return whether there was one."""
        followed = self._followed.get(alias)
        if followed is None or followed.router is None:
            return False
        router, followed.router = followed.router, None
        version = None if followed.pointer is None else followed.pointer.version
        reason = f"unexpected error in service: {error!r}"
        self._refusals.add(refusal_of(router.version, version, reason))
        events.error("runtime.dropped", bundle=router.version, alias=alias, reason=reason)
        self._listener(Swap("rolled_back", router.version, version, router.version, serving.version, alias, reason))
        return True
