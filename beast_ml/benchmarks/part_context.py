"""What a part of its own is given, and how it keeps what it has measured so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.results import code_digest, result_key, write_bytes
from beast_ml.policy.learner import EncoderName

__all__ = ["PartContext"]


@dataclass(frozen=True)
class PartContext:
    """What a part of its own is given.

    Parameters
    ----------
    data
        Folder of the public sets, or None.
    encoder
        Name of the encoder.
    n_seeds
        How often to draw what is drawn.
    quick
        Whether a rough look will do.
    peers
        Whether peers are to be measured too.
    folder
        Where the part keeps what an interrupted run is to find again.
    say
        Called with what is being done.
    """

    data: Path | None
    encoder: EncoderName
    n_seeds: int
    quick: bool
    peers: bool
    folder: Path
    say: Callable[[str], None]

    def kept(
        self, name: str, settings: Mapping[str, Any], measure: Callable[[], tuple[Figure, ...]]
    ) -> tuple[Figure, ...]:
        """Return a piece of the part: as an earlier run with these settings and this code left it, or measured now."""
        key = result_key({**settings, "encoder": self.encoder, "code": code_digest()})
        path = self.folder / f"{name.replace(', ', '-').replace(' ', '-')}-{key}.json"
        if path.is_file():
            return msgspec.json.decode(path.read_bytes(), type=tuple[Figure, ...])
        self.say(f"{name}: measuring")
        figures = measure()
        write_bytes(path, msgspec.json.encode(figures))
        return figures
