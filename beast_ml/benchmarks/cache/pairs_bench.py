"""One run of `beast bench cache`: part after part, each kept as soon as it is measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.benchmarks.cache.entries_part import measure_entries
from beast_ml.benchmarks.cache.pair_sets import PAIR_SETS, PreparedPairs, adversarial_pairs, load_pairs, prepare
from beast_ml.benchmarks.cache.pairs_part import measure_adversarial, measure_mock, measure_pair_set
from beast_ml.benchmarks.cache.replay_part import ReplaySize, measure_replays
from beast_ml.benchmarks.results import code_digest, result_key, write_bytes
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder, write_onnx_encoder
from beast_ml.cache.verifier.text_vectors import StoredVectors
from beast_ml.errors import InputError
from beast_ml.features.distill import minilm_folder
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["PAIR_PARTS", "PairsBench", "PairsConfig"]

PAIR_PARTS: Final = (*PAIR_SETS, "mock", "adversarial", "entries", "replay")
"""What is measured, in the order of reports."""


@dataclass(frozen=True)
class PairsConfig:
    """What to run.

    Parameters
    ----------
    sets
        Of `PAIR_PARTS`.
    n_splits
        Random splits of each set.
    most_pairs
        At most so many pairs of a set.
    data
        Folder of the public sets.
    out
        Folder for results, vectors and features.
    peers
        Whether GPTCache is run.
    replay
        How much is replayed.
    """

    sets: tuple[str, ...]
    n_splits: int
    most_pairs: int
    data: Path
    out: Path
    peers: bool
    replay: ReplaySize


class PairsBench:
    """Runs what a configuration asks for.

    Parameters
    ----------
    config
        What to run.
    encoder, static
        The encoders of the cache.
    say
        Called with what is being done.
    progress
        Called with (what, done, total).
    """

    def __init__(
        self,
        config: PairsConfig,
        encoder: Encoder,
        static: StaticEncoder,
        say: Callable[[str], None] = lambda _: None,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    ) -> None:
        self._config, self._static, self._say, self._progress = config, static, say, progress
        self._encoder = StoredVectors(
            encoder, config.out / "vectors.npz", lambda done, total: progress("embedding", done, total)
        )
        self._prepared: dict[str, PreparedPairs] = {}

    def run(self) -> dict[str, Any]:
        """Return the figures by set; a set whose files are absent is left out, and it is said."""
        began, found, left_out = time.perf_counter(), {}, {}
        measures: Mapping[str, Callable[[], dict[str, Any]]] = {
            **{name: self._pair_set(name) for name in PAIR_SETS},
            "mock": self._mock,
            "adversarial": self._adversarial,
            "entries": self._entries,
            "replay": self._replay,
        }
        for name in self._config.sets:
            try:
                found[name] = self._kept(name, measures[name])
            except InputError as error:
                left_out[name] = str(error)
                self._say(f"warning: {name} is left out: {error}")
        self._encoder.save()
        return {"sets": found, "left_out": left_out, "seconds": time.perf_counter() - began}

    def _pair_set(self, name: str) -> Callable[[], dict[str, Any]]:
        return lambda: measure_pair_set(self._ready(name), self._config.n_splits, say=self._say)

    def _mock(self) -> dict[str, Any]:
        pairs = load_pairs(self._config.data, "gptcache_mock", None)
        config = self._config
        return measure_mock(
            pairs, self._encoder, self._static, config.out, config.n_splits, peers=config.peers, say=self._say
        )

    def _adversarial(self) -> dict[str, Any]:
        learnt = [self._ready(name) for name in PAIR_SETS if self._is_there(name)]
        if not learnt:
            raise InputError("no public set to learn from is there: run `beast data pull cache_qqp` or give --data")
        return measure_adversarial(learnt, self._ready_adversarial, self._config.n_splits)

    def _entries(self) -> dict[str, Any]:
        import pyarrow.parquet as pq

        path = self._config.data / "cache_banking77" / "queries.parquet"
        if not path.is_file():
            raise InputError(f"{path} is not there: run `beast data pull cache_banking77` or give --data")
        table = pq.read_table(path, columns=["text", "intent"])
        texts = table["text"].to_pylist()
        answers = np.unique(np.array(table["intent"].to_pylist()), return_inverse=True)[1].astype(np.int64)
        return measure_entries(
            texts, answers, self._encoder, self._static, self._config.out, min(self._config.n_splits, 10)
        )

    def _replay(self) -> dict[str, Any]:
        config = self._config
        pairs = load_pairs(config.data, "qqp", None)
        with tempfile.TemporaryDirectory(prefix="beast-minilm-") as scratch:
            write_onnx_encoder(minilm_folder(), Path(scratch))
            onnx = OnnxEncoder.load(Path(scratch))
            encoder = StoredVectors(
                onnx, config.out / "onnx-vectors.npz", lambda done, total: self._progress("embedding", done, total)
            )
            found = measure_replays(pairs, encoder, self._static, config.replay, config.data, say=self._say)
            encoder.save()
        return found

    def _is_there(self, name: str) -> bool:
        return (self._config.data / f"cache_{name}" / "pairs.parquet").is_file()

    def _ready(self, name: str) -> PreparedPairs:
        if name not in self._prepared:
            pairs = load_pairs(self._config.data, name, self._config.most_pairs)
            self._say(f"{name}: embedding and comparing {len(pairs):,} pairs")
            self._prepared[name] = prepare(
                name, pairs, self._encoder, self._static, self._config.out, progress=self._progress
            )
            self._encoder.save()
        return self._prepared[name]

    @cached_property
    def _ready_adversarial(self) -> PreparedPairs:
        pairs = adversarial_pairs()
        return prepare("adversarial", pairs, self._encoder, self._static, self._config.out, n_changed=0)

    def _kept(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what an earlier run measured under equal settings and code, or measure it and keep it."""
        config = self._config
        settings = {
            "set": name,
            "splits": config.n_splits,
            "most_pairs": config.most_pairs,
            "peers": config.peers,
            "replay": asdict(config.replay),
            "encoder": self._encoder.hash,
            "code": code_digest(("cache", "features", "benchmarks/cache")),
        }
        path = config.out / "sets" / f"{name}-{result_key(settings)}.json"
        if path.is_file():
            self._say(f"{name}: found in {path}")
            found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
            return found
        found = measure()
        write_bytes(path, msgspec.json.format(msgspec.json.encode(found)))
        return found
