"""The trained caches of a host: copied from the folders and bundles that brought them, so that they outlive those."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from beast_ml.cache.artefact import load_verifier, verify_cache
from beast_ml.cache.artefact_files import CACHE_MANIFEST
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.errors import BundleError

__all__ = ["TrainedCaches"]

_STAGING: Final = ".incoming-"


class TrainedCaches:
    """One folder for each trained cache, by its digest, and a link to the one that is in use.

    All workers of a host may call `install` at the same time.

    Parameters
    ----------
    state
        The host's state folder.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state.absolute() / "trained-caches"

    @property
    def current(self) -> Path:
        """The link to the one in use."""
        return self._folder / "current"

    def install(self, source: Path) -> str | None:
        """Bring the trained cache in a folder into use; return its digest, None where there is none.

        Raises
        ------
        BundleError
            If it is damaged, or cannot be copied; what was in use stays.
        """
        if not (source / CACHE_MANIFEST).is_file():
            return None
        digest = verify_cache(source).digest
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not (self._folder / digest).is_dir():
                self._copy(source, digest)
            self._use(digest)
        except OSError as error:
            raise BundleError(f"cannot copy the trained cache in {source} to {self._folder}: {error}") from error
        return digest

    def verifier(self, digest: str) -> TrainedVerifier | None:
        """Return the verifier of the trained cache with a digest; None where there is none in it.

        Raises
        ------
        BundleError
            If it is not here, or damaged.
        """
        return load_verifier(self._folder / digest)

    def _copy(self, source: Path, digest: str) -> None:
        staging = Path(tempfile.mkdtemp(dir=self._folder, prefix=_STAGING))
        try:
            shutil.copytree(source, staging / digest)
            if verify_cache(staging / digest).digest != digest:
                raise BundleError(f"the trained cache in {source} changed while it was copied")
            try:
                (staging / digest).rename(self._folder / digest)
            except OSError:
                if not (self._folder / digest).is_dir():  # no other worker was quicker
                    raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _use(self, digest: str) -> None:
        before = self.current.readlink().name if self.current.is_symlink() else None
        if before == digest:
            return
        link = self._folder / f".current-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(digest)
        link.replace(self.current)
        for other in self._folder.iterdir():  # the one before is still in use for a moment
            if other.is_dir() and not other.is_symlink() and other.name not in (digest, before):
                shutil.rmtree(other, ignore_errors=True)
