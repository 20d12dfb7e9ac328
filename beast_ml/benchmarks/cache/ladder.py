"""The ladder of `beast bench cache`: the product's cache, one feature more at each rung, on the same requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

from beast_ml.benchmarks.cache.lives import LivesComparison
from beast_ml.benchmarks.cache.warmed import WarmedCache
from beast_ml.cache.bypass import Bypass
from beast_ml.cache.lifetimes import Lifetimes, fit_lifetimes
from beast_ml.cache.replay.recognition import Recognition
from beast_ml.cache.replay.replay import ReplayReport, replay
from beast_ml.cache.replay.stream import Stream
from beast_ml.cache.replay.workers_cache import ReplayKeys, WorkersCache
from beast_ml.cache.request import CacheLevel
from beast_ml.cache.tuning import CacheChoice, CacheTuner, CacheTuning, TuningPrices

__all__ = ["RUNGS", "climb", "warming_budget_usd"]

RUNGS: Final = ("exact", "normalised", "semantic", "tiers", "warming", "tuning")
"""Each with all features of those before it."""

_WARMED_SHARE: Final = 0.1


def warming_budget_usd(stream: Stream) -> float:
    """Return what warming may cost an hour: a tenth of what all answers would cost without a cache."""
    return _WARMED_SHARE * sum(request.cost_usd for request in stream.requests) / (stream.days * 24.0)


@dataclass(frozen=True)
class _Climb:
    stream: Stream
    keys: ReplayKeys
    lives: LivesComparison
    n_workers: int

    def rung(
        self,
        recognition: Recognition | None = None,
        choice: CacheChoice | None = None,
        *,
        level: Any = CacheLevel.FULL,
        shared: bool = False,
        warmed: bool = False,
    ) -> ReplayReport:
        """Return what comes of one rung on the second half."""
        life_s: Callable[[str], float] = self.lives.lifetimes.ttl_s if choice is None else choice.life_of
        limits = None
        if choice is not None:
            limits = choice.limits()
            if recognition is not None:
                recognition = replace(recognition, gate=choice.gate)
        stream, from_s = self.stream, self.stream.half_s
        with closing(
            WorkersCache(
                self.keys,
                life_s,
                level=level,
                recognition=recognition,
                right=stream.is_right,
                shared=shared,
                limits=limits,
                n_workers=self.n_workers,
            )
        ) as cache:
            warmer = WarmedCache(cache, life_s, warming_budget_usd(stream))
            return replay(
                stream,
                warmer if warmed else cache,
                self.lives.lifetimes.ttl_s,
                from_s=from_s,
                each_hour=(lambda now_s: warmer.warm(now_s) if now_s >= from_s else 0.0) if warmed else None,
                canonical=self.keys.canonical,
            )


def climb(
    stream: Stream,
    keys: ReplayKeys,
    lives: LivesComparison,
    recognition: Recognition | None,
    n_trials: int,
    n_workers: int = 4,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return rates by rung, counted on the second half, and what was tuned on the first.

    Which requests are common or known is decided by the learned lives at every rung, also where others were tuned.

    Parameters
    ----------
    stream, keys
        What is asked, and its keys.
    lives
        What was learned on the first half.
    recognition
        Of paraphrases; None: rungs from "semantic" on go without it.
    n_trials
        Of tuning.
    n_workers
        Among whom the requests are drawn.
    say
        Called with what is being done.
    """
    climbing = _Climb(stream, keys, lives, n_workers)
    tuned = _tuned(stream, keys, lives, recognition, n_trials)
    steps: dict[str, Callable[[], ReplayReport]] = {
        "exact": lambda: climbing.rung(level=CacheLevel.EXACT),
        "normalised": climbing.rung,
        "semantic": lambda: climbing.rung(recognition),
        "tiers": lambda: climbing.rung(recognition, shared=True),
        "warming": lambda: climbing.rung(recognition, shared=True, warmed=True),
        "tuning": lambda: climbing.rung(recognition, tuned.best.choice, shared=True, warmed=True),
    }
    ladder = {}
    for name in RUNGS:
        say(f"{stream.name}: {name}")
        ladder[name] = steps[name]().to_dict()
    counted = [request for request in stream.requests if request.at_s >= stream.half_s]
    bypassed = sum(isinstance(keys.of(each.tenant_id, each.text), Bypass) for each in counted)
    return {
        "ladder": ladder,
        "bypass_share": bypassed / max(1, len(counted)),
        "tuning": {
            "trials": len(tuned.trials),
            "chosen": dict(tuned.best.params),
            "worth_usd": {"baseline": tuned.baseline.worth_usd, "tuned": tuned.best.worth_usd},
            "memory_gb_h": {"baseline": tuned.baseline.memory_gb_h, "tuned": tuned.best.memory_gb_h},
        },
    }


def _tuned(
    stream: Stream, keys: ReplayKeys, lives: LivesComparison, recognition: Recognition | None, n_trials: int
) -> CacheTuning:
    kinds = {request.kind for request in stream.requests}
    baseline = CacheChoice(
        lives_s={kind: lives.lifetimes.ttl_s(kind) for kind in kinds},
        life_s=lives.lifetimes.ttl_s(None),
        gate=-1.0 if recognition is None else recognition.gate,
    )

    def lives_at(stale_share: float, max_s: float) -> Lifetimes:
        return fit_lifetimes(lives.observations, stale_share, max_s=max_s)

    return CacheTuner(stream, baseline, lives_at, recognition, TuningPrices(), keys).tune(n_trials)
