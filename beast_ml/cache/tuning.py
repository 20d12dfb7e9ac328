"""Settings of a cache, searched by replay of what was asked: the first half of a stream tunes, the second judges.

The objective is in dollars: what right hits saved, less the price of the memory that is held, of stale answers and of
false ones. A wrong answer saves nothing besides. How sure the verifier has to be is not searched: epsilon is what users
were promised. One worker is replayed, with all requests and no shared tier, for there is memory what decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from beast_ml.cache.lifetimes import Lifetimes
from beast_ml.cache.replay.recognition import Recognition
from beast_ml.cache.replay.replay import ReplayReport, replay
from beast_ml.cache.replay.stream import Stream
from beast_ml.cache.replay.workers_cache import ReplayKeys, WorkersCache
from beast_ml.cache.tiers.memory import MemoryLimits
from beast_ml.errors import InputError, MissingExtraError, NotEnoughDataError

__all__ = ["CacheChoice", "CacheTuner", "CacheTuning", "Trial", "TuningPrices"]

_HOUR_S: Final = 3_600.0
_LEAST_REQUESTS: Final = 100


@dataclass(frozen=True)
class TuningPrices:
    """What the objective charges.

    Parameters
    ----------
    memory_usd_per_gb_h
        A gigabyte (2^30 bytes) of memory for an hour.
    stale_usd, false_usd
        An answer that is out of date, and one to another question. Where an answer costs 0.0026 USD, a hit pays
        as long as it is wrong with a probability of less than 5%.

    Raises
    ------
    InputError
        If a price is negative.
    """

    memory_usd_per_gb_h: float = 0.005
    stale_usd: float = 0.05
    false_usd: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0.0:
                raise InputError(f"`{name}` == {value}, must be a number of dollars from 0")

    def worth_usd(self, report: ReplayReport, memory_gb_h: float) -> float:
        """Return what a cache was worth."""
        wrong_usd = self.stale_usd * report.n_stale + self.false_usd * report.n_false
        return report.saved_usd - wrong_usd - self.memory_usd_per_gb_h * memory_gb_h


@dataclass(frozen=True)
class CacheChoice:
    """Settings to try.

    Parameters
    ----------
    memory_entries, memory_mb
        Most entries in memory, and megabytes (2^20 bytes) that they take.
    lives_s, life_s
        How long answers of a kind are kept, and those of all other kinds.
    n_looked_at
        Entries that are compared to find the one that leaves a full memory.
    gate
        Its bound; not read without recognition.
    """

    memory_entries: int = 50_000
    memory_mb: int = 256
    lives_s: Mapping[str, float] = field(default_factory=dict)
    life_s: float = 86_400.0
    n_looked_at: int = 8
    gate: float = -1.0

    def limits(self) -> MemoryLimits:
        """Return the bounds of a worker's memory."""
        return MemoryLimits(
            max_entries=self.memory_entries, max_bytes=self.memory_mb << 20, n_looked_at=self.n_looked_at
        )

    def life_of(self, kind: str) -> float:
        """Return how long an answer to a request of a kind is kept."""
        return self.lives_s.get(kind, self.life_s)


@dataclass(frozen=True)
class Trial:
    """What came of a choice.

    Parameters
    ----------
    choice
        What was tried.
    params
        What the search drew to make it; empty for the baseline.
    report
        Of the replay.
    memory_gb_h
        Memory that was held, times the hours.
    worth_usd
        The objective.
    """

    choice: CacheChoice
    params: Mapping[str, float]
    report: ReplayReport
    memory_gb_h: float
    worth_usd: float


@dataclass(frozen=True)
class CacheTuning:
    """What a search came to.

    Parameters
    ----------
    trials
        On the first half, the baseline first.
    baseline, best
        The baseline, and the choice that was worth most on the first half (it may be the baseline), on the second half.
    """

    trials: tuple[Trial, ...]
    baseline: Trial
    best: Trial


class CacheTuner:
    """Tries settings on one stream.

    Parameters
    ----------
    stream
        What was asked.
    baseline
        The settings to beat.
    lives_at
        Returns the lives at whose end an answer is out of date with a probability, none longer than so many seconds;
        learned from nothing later than the first half.
    recognition
        What finds paraphrases; None: nothing does.
    prices
        Of the objective.
    keys
        Where they were made already.
    seed
        Of the search and of the replays.

    Raises
    ------
    NotEnoughDataError
        If one half of the stream has fewer than 100 requests.
    """

    def __init__(
        self,
        stream: Stream,
        baseline: CacheChoice,
        lives_at: Callable[[float, float], Lifetimes],
        recognition: Recognition | None = None,
        prices: TuningPrices | None = None,
        keys: ReplayKeys | None = None,
        seed: int = 0,
    ) -> None:
        self._stream, self._first = stream, stream.until(stream.half_s)
        n_first = len(self._first.requests)
        if min(n_first, len(stream.requests) - n_first) < _LEAST_REQUESTS:
            raise NotEnoughDataError(
                f"{n_first} requests in the first half and {len(stream.requests) - n_first} in the second, must be "
                f"{_LEAST_REQUESTS} in each to tune on one and judge on the other: give a longer log"
            )
        self._baseline, self._lives_at, self._recognition = baseline, lives_at, recognition
        self._prices, self._keys, self._seed = prices or TuningPrices(), keys or ReplayKeys(), seed
        self._kinds = sorted({request.kind for request in stream.requests})

    def tune(self, n_trials: int, progress: Callable[[int, int], None] = lambda _done, _total: None) -> CacheTuning:
        """Return the trials on the first half, and how the best of them and the baseline did on the second.

        Parameters
        ----------
        n_trials
            Choices tried, the baseline not among them.
        progress
            Called with (trials done, trials in all).

        Raises
        ------
        MissingExtraError
            If Optuna is not installed.
        """
        trials = [self._tried(self._baseline, {}, self._first, 0.0)]
        for trial in self._search(n_trials):
            trials.append(trial)
            progress(len(trials) - 1, n_trials)
        best = max(trials, key=lambda trial: trial.worth_usd)
        judged = [
            self._tried(trial.choice, trial.params, self._stream, self._stream.half_s) for trial in (trials[0], best)
        ]
        return CacheTuning(tuple(trials), judged[0], judged[1])

    def _search(self, n_trials: int) -> Iterator[Trial]:
        try:
            import optuna
        except ImportError as error:
            raise MissingExtraError("tuning a cache", "train") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=self._seed))
        for _ in range(n_trials):
            asked = study.ask()
            trial = self._tried(self._drawn(asked), asked.params, self._first, 0.0)
            study.tell(asked, trial.worth_usd)
            yield trial

    def _drawn(self, trial: Any) -> CacheChoice:
        share = trial.suggest_float("stale_share", 0.005, 0.5, log=True)
        lives = self._lives_at(share, _HOUR_S * trial.suggest_float("max_life_h", 1.0, 30 * 24.0, log=True))
        choice = CacheChoice(
            memory_entries=trial.suggest_int("memory_entries", 100, max(self._baseline.memory_entries, 200), log=True),
            memory_mb=trial.suggest_int("memory_mb", 1, max(self._baseline.memory_mb, 2), log=True),
            lives_s={kind: lives.ttl_s(kind) for kind in self._kinds},
            life_s=lives.ttl_s(None),
            n_looked_at=trial.suggest_int("n_looked_at", 2, 32, log=True),
        )
        if self._recognition is None:
            return choice
        # Never above where it was chosen: that bounds the hits that are lost.
        loosest = min(self._recognition.gate, 0.0) - 0.1
        return replace(choice, gate=trial.suggest_float("gate", loosest, self._recognition.gate))

    def _tried(self, choice: CacheChoice, params: Mapping[str, float], stream: Stream, from_s: float) -> Trial:
        recognition = self._recognition
        if recognition is not None:
            recognition = replace(recognition, gate=choice.gate)
        cache = WorkersCache(
            self._keys,
            choice.life_of,
            recognition=recognition,
            right=stream.is_right,
            shared=False,
            limits=choice.limits(),
            n_workers=1,
            seed=self._seed,
        )
        held_gb_h = 0.0

        def each_hour(now_s: float) -> float:
            nonlocal held_gb_h
            held_gb_h += cache.memory_bytes() / 2**30 if now_s >= from_s else 0.0
            return 0.0

        try:
            report = replay(
                stream,
                cache,
                self._baseline.life_of,
                from_s=from_s,
                each_hour=each_hour,
                canonical=self._keys.canonical,
            )
        finally:
            cache.close()
        return Trial(choice, dict(params), report, held_gb_h, self._prices.worth_usd(report, held_gb_h))
