"""What an interrupted run measured is found again, and what cannot be measured here is left out with its reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from beast_ml.benchmarks.results import code_digest, result_key, write_bytes
from beast_ml.errors import BeastError

__all__ = ["KeptMeasurements"]

T = TypeVar("T")


class KeptMeasurements:
    """Measurements of one run, each a file; its ``scratch`` beside them is emptied after each.

    Parameters
    ----------
    out
        Folder of the run.
    folder
        Of the measurements in it.
    say
        Called with what is being done.
    """

    def __init__(self, out: Path, folder: str, say: Callable[[str], None]) -> None:
        self._out, self._folder, self._say = out, folder, say
        self.left_out: dict[str, str] = {}
        """Why something was not measured, by what it is called."""

    def get(
        self,
        label: str,
        settings: Mapping[str, Any],
        kind: type[T],
        measure: Callable[[], T],
        may_fail: Callable[[BeastError], bool],
    ) -> T | None:
        """Return what was measured under equal settings and code, or measure it and keep it.

        None: it failed with an error that it may fail with, which ``left_out`` has from then on; others are raised.
        """
        name = label.replace(", ", "-").replace(" ", "-")
        path = (
            self._out / self._folder / f"{name}-{result_key({**settings, 'what': label, 'code': code_digest()})}.json"
        )
        if path.is_file():
            self._say(f"{label}: found in {path}")
            return msgspec.json.decode(path.read_bytes(), type=kind)
        self._say(label)
        try:
            found = measure()
        except BeastError as error:
            if not may_fail(error):
                raise
            self.left_out[label] = str(error)
            self._say(f"warning: {label} is left out: {str(error).splitlines()[0]}")
            return None
        write_bytes(path, msgspec.json.format(msgspec.json.encode(found), indent=1))
        shutil.rmtree(self._out / "scratch", ignore_errors=True)
        return found
