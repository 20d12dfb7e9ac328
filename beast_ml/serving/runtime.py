"""The router that serves, and what replaces it: a bundle folder, or an address in the registry that is followed.

A host's watcher (`beast_ml.registry.watch`) keeps a file that says where the address points; every worker looks at it
four times a second. A new bundle is loaded beside the one that serves, tried on requests that were just served, and
takes over by one assignment. One that breaks in its first decisions is taken back by itself.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.bundle.manifest import MANIFEST
from beast_ml.domain import Price
from beast_ml.errors import BundleError, InputError, UnavailableError
from beast_ml.events import events
from beast_ml.registry.bundle_pointer import (
    BundlePointer,
    FileSignature,
    PointerFolder,
    file_signature,
    read_pointer,
    write_pointer,
)
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.model_uri import ModelUri
from beast_ml.serving.aliases import FollowedAliases
from beast_ml.serving.first_bundle import from_folder, from_registry, pointer_to_folder
from beast_ml.serving.refusals import Refusal, Refusals, refusal_of
from beast_ml.serving.router import Router
from beast_ml.serving.swap import Swap, Trials, load_router, seconds_since

__all__ = ["Runtime", "RuntimeStatus"]

_USER_INFO: Final = re.compile(r"//[^/@\s]+@")
"""User and password in an address: never shown."""
_REGISTRY_SCHEME: Final = "models:/"
_LOOK_S: Final = 0.25
_PROBATION: Final = 200
"""So many decisions a new bundle must come through before the one before it is let go."""
_PROBATION_S: Final = 600.0
"""After this time it is let go even so: where hardly anybody asks, memory counts more."""


class RuntimeStatus(msgspec.Struct, frozen=True):
    """What serves, and how it stands with the registry.

    Parameters
    ----------
    source
        The folder or the address.
    digest, version
        Of the bundle that serves; a folder has no version.
    loaded_at
        When it came into service.
    on_probation
        Whether it still has to prove itself.
    checked_at
        When the registry was last seen to answer; None where that never was.
    registry_error
        Why the last look at it failed; None when it did not. What serves goes on serving.
    refused
        Bundles that were pointed at and are not served.
    followed
        Digest by alias, of those followed beside it; None while there is no such bundle.
    """

    source: str
    digest: str
    version: int | None
    loaded_at: datetime
    on_probation: bool
    checked_at: datetime | None = None
    registry_error: str | None = None
    refused: tuple[Refusal, ...] = ()
    followed: dict[str, str | None] = {}


class Runtime:
    """One worker's router; `open` makes one.

    ``router`` is replaced by one assignment: whoever decides takes it once per request.

    Parameters
    ----------
    source
        The folder or the address.
    router
        What serves at first.
    pointer
        Where that came from.
    files
        What workers and watcher of this host share.
    prices
        Token prices that hold in place of those in the bundles.
    listener
        Is called with what became of each bundle that was to be served.
    """

    def __init__(
        self,
        source: str,
        router: Router,
        pointer: BundlePointer,
        files: PointerFolder,
        prices: Mapping[str, Price] | None = None,
        listener: Callable[[Swap], None] | None = None,
    ) -> None:
        self.router = router
        self._source = source
        self._files = files
        self._prices = prices
        self._listener = listener
        self._refusals = Refusals(files.refused)
        self._served_from = pointer
        self._loaded_at = datetime.now(UTC)
        self._trials = Trials(self._refusals, prices, self._tell)
        self._aliases = FollowedAliases(files, self._trials, self._refusals, self._tell)

        self._previous: tuple[Router, BundlePointer] | None = None
        self._swapped_s = time.monotonic()
        known = read_pointer(files.served) if self._is_registry else pointer
        self._left = 0 if known is not None and known.digest == pointer.digest else _PROBATION
        self._to_record = False

        self._seen: FileSignature | None = None if self._is_registry else file_signature(Path(source) / MANIFEST)
        self._pointer = pointer
        self._dealt_with = pointer
        self._reload_seen = file_signature(files.reload)

    @classmethod
    def open(
        cls,
        source: str | Path,
        state: Path,
        *,
        tracking_uri: str = "sqlite:///mlflow.db",
        cache: Path | None = None,
        prices: Mapping[str, Price] | None = None,
        listener: Callable[[Swap], None] | None = None,
    ) -> Runtime:
        """Return a runtime that can decide at once.

        An address in the registry is served from the last good bundle on this machine, and followed from there; the
        registry is asked only where there is none.

        Parameters
        ----------
        source
            A bundle folder, or an address such as ``models:/beast-router@champion``.
        state
            Folder of serving's state.
        tracking_uri
            The MLflow store that addresses are looked up in.
        cache
            Where bundles from the registry are kept; default: the user's cache folder.
        prices
            Token prices that hold from now on, by candidate.
        listener
            Is called with what becomes of each bundle that is to be served, on the event loop.

        Raises
        ------
        InputError
            If there is no such folder, or the address is malformed.
        BundleError
            If the bundle cannot be read or is not what its manifest says.
        RegistryError
            If no good bundle is at hand and the registry has none; `RegistryUnavailableError` if it does not answer.
        """
        files = PointerFolder(state)
        state.mkdir(parents=True, exist_ok=True)
        if str(source).startswith(_REGISTRY_SCHEME):
            uri = str(ModelUri.parse(str(source)))
            router, pointer = from_registry(uri, files, TrackingConfig(tracking_uri), cache, prices)
        else:
            router, pointer = from_folder(Path(source), prices)
        events.info("runtime.opened", source=str(source), bundle=router.version, version=pointer.version)
        return cls(str(source), router, pointer, files, prices, listener)

    async def follow(self) -> None:
        """Bring new bundles into service until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  whatever goes wrong here, what serves goes on serving
                events.error("runtime.look_failed", error=repr(error))
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Look once whether another bundle is to be served, and bring it into service."""
        reload_seen = file_signature(self._files.reload)
        asked = reload_seen is not None and reload_seen != self._reload_seen
        if asked and reload_seen is not None:
            self._reload_seen = reload_seen
            self._refusals.lift(datetime.fromtimestamp(reload_seen[0] / 1e9, UTC))
        if self._is_registry:
            await self._look_at_pointer()
            await self._aliases.look(self.router)
        else:
            await self._look_at_folder(asked)
        await self._end_probation()

    def succeeded(self, prompt: str | None = None) -> None:
        """Take note of a decision: new bundles are tried on the last few prompts."""
        if prompt is not None:
            self._trials.served(prompt)
        if self._left:
            self._left -= 1
            self._to_record = self._left == 0

    def failed(self, error: Exception, alias: str | None = None) -> bool:
        """Take note of an unexpected error of the router, or of the one behind an alias.

        Returns
        -------
        bool
            Whether another router serves now, so that deciding again may do. It does so when the bundle was still
            on probation and there is one before it.
        """
        if alias is not None:
            return self._aliases.drop(alias, error, self.router)
        back = (self._previous or self._last_served()) if self._left else None
        if back is None:
            events.error("runtime.decision_failed", bundle=self.router.version, error=repr(error))
            return False
        self._go_back(back, f"unexpected error in service: {error!r}")
        return True

    def ask_to_reload(self) -> None:
        """Ask the host for a look at the registry now; bundles that were refused are tried again."""
        self._files.reload.touch()

    def is_current(self, asked_at: float) -> bool:
        """Return whether this worker has dealt with what the registry pointed at, at a time or later.

        Parameters
        ----------
        asked_at
            Seconds since 1970.

        Raises
        ------
        UnavailableError
            If the registry was asked since then and did not answer.
        """
        pointer = self._dealt_with
        if pointer.checked_at is not None and pointer.checked_at.timestamp() >= asked_at:
            return True
        if pointer.error is not None and pointer.tried_at is not None and pointer.tried_at.timestamp() >= asked_at:
            raise UnavailableError(f"the router goes on as it is: {pointer.error}")
        return False

    def follow_aliases(self, aliases: Collection[str]) -> None:
        """Follow these aliases of the same registered model, such as ``challenger``, and no others.

        Raises
        ------
        InputError
            If a bundle folder is served, which has no aliases.
        """
        if self._is_registry:
            self._aliases.follow(ModelUri.parse(self._source).name, aliases)
        elif aliases:
            raise InputError(
                f"{self._source} is a folder and has no aliases: serve models:/beast-router@champion to compare routers"
            )

    def check_can_follow(self, policies: Collection[str]) -> None:
        """Return if these policies can be loaded beside the champion.

        Raises
        ------
        InputError
            If a bundle folder is served, which has no aliases.
        """
        if not self._is_registry and set(policies) - {"champion"}:
            raise InputError(
                f"{self._source} is a folder and has no aliases: serve models:/beast-router@champion to compare routers"
            )

    def router_for(self, alias: str) -> Router | None:
        """Return the router behind an alias that is followed; None while there is none that can serve."""
        return self._aliases.router(alias)

    def status(self) -> RuntimeStatus:
        """Return what serves, and how it stands with the registry."""
        return RuntimeStatus(
            source=self._source,
            digest=self.router.version,
            version=self._served_from.version,
            loaded_at=self._loaded_at,
            on_probation=self._left > 0,
            checked_at=self._pointer.checked_at,
            registry_error=None if self._pointer.error is None else _USER_INFO.sub("//", self._pointer.error),
            refused=self._refusals.all(),
            followed=self._aliases.digests(),
        )

    @property
    def bundle_folder(self) -> Path:
        """Where the bundle lies that serves."""
        return Path(self._served_from.path or self._source)

    @property
    def _is_registry(self) -> bool:
        return self._source.startswith(_REGISTRY_SCHEME)

    async def _look_at_pointer(self) -> None:
        seen = file_signature(self._files.pointer)
        if seen is not None and seen != self._seen:
            self._seen = seen
            pointer = read_pointer(self._files.pointer)
            if pointer is not None and pointer.uri == self._source:
                self._pointer = pointer
        await self._deal_with(self._pointer)

    async def _look_at_folder(self, asked: bool) -> None:
        seen = file_signature(Path(self._source) / MANIFEST)
        if seen == self._seen and not asked:
            return
        began = datetime.now(UTC)
        pointer = await asyncio.to_thread(pointer_to_folder, Path(self._source), began)
        self._seen = seen
        self._pointer = pointer
        await self._deal_with(pointer)

    async def _deal_with(self, pointer: BundlePointer) -> None:
        """Bring the bundle behind a pointer into service, unless it serves or is refused."""
        if pointer.digest is not None and pointer.digest != self.router.version:
            if self._refusals.get(pointer.digest) is None:
                router = await self._trials.router(pointer, self.router)
                if router is not None:
                    self._swap_in(router, pointer)
        elif pointer.digest is not None:
            self._served_from = pointer
        self._dealt_with = pointer

    def _swap_in(self, router: Router, pointer: BundlePointer) -> None:
        # One on probation is no good to go back to: then the one before it is kept.
        if not (self._left and self._previous):
            self._previous = (self.router, self._served_from)
        old, self.router = self.router, router
        self._served_from, self._loaded_at = pointer, datetime.now(UTC)
        self._swapped_s, self._left, self._to_record = time.monotonic(), _PROBATION, False
        after_s = seconds_since(pointer)
        events.info(
            "runtime.swapped", bundle=router.version, version=pointer.version, before=old.version, after_s=after_s
        )
        self._tell(Swap("swapped", router.version, pointer.version, old.version, router.version, None, None, after_s))

    def _go_back(self, back: tuple[Router, BundlePointer], reason: str) -> None:
        broken, version = self.router, self._served_from.version
        self.router, self._served_from = back
        self._previous, self._left, self._to_record = None, 0, False
        self._loaded_at = datetime.now(UTC)
        self._refusals.add(refusal_of(broken.version, version, reason, rolled_back=True))
        events.error(
            "runtime.rolled_back", bundle=broken.version, version=version, to=self.router.version, reason=reason
        )
        self._tell(Swap("rolled_back", broken.version, version, self.router.version, self.router.version, None, reason))

    async def _end_probation(self) -> None:
        if self._left and self._previous is not None:
            elsewhere = self._refusals.get(self.router.version)
            if elsewhere is not None and elsewhere.rolled_back:
                self._go_back(self._previous, elsewhere.reason)
        if not self._left or time.monotonic() - self._swapped_s > _PROBATION_S:
            self._previous = None
        if self._to_record and self._is_registry:
            self._to_record = False
            if self._refusals.get(self.router.version) is None:
                await asyncio.to_thread(write_pointer, self._files.served, self._served_from)

    def _last_served(self) -> tuple[Router, BundlePointer] | None:
        """Return what served well before this process began; None where that is what serves, or is not there."""
        pointer = read_pointer(self._files.served)
        if pointer is None or pointer.uri != self._source or pointer.digest in (None, self.router.version):
            return None
        try:
            return load_router(Path(pointer.path or ""), pointer.digest, self._prices, self.router), pointer
        except BundleError:
            return None

    def _tell(self, swap: Swap) -> None:
        if self._listener is not None:
            self._listener(swap)
