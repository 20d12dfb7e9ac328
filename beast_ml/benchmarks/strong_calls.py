"""RouteLLM's metrics of two-model pools: APGR, and the least share of strong calls that recovers half or most."""

from __future__ import annotations

from beast_ml.benchmarks.cross_validation import SeedResult
from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.scored_set import NEVER_PREDICTS, ScoredSet, Statistics
from beast_ml.evaluation.strong_calls import strong_call_metrics

__all__ = ["measure_strong_calls"]


def measure_strong_calls(scored: ScoredSet) -> PartResult:
    """Return ``apgr``, ``cpt50`` and ``cpt80`` (shares of calls, 0..1) of every router; nothing for larger pools."""
    if len(scored.outcomes.models) != 2:
        return PartResult("strong_calls", ())
    board = scored.board
    strong, weak = board.reference, 1 - board.reference

    def score(seed: SeedResult) -> Statistics:
        statistics: Statistics = {}
        for router in seed.routers:
            if router.name in NEVER_PREDICTS:
                continue  # ranks by task: ties decide where its deciles lie
            quality = router.predictions.quality[scored.scored]
            statistics[router.name] = strong_call_metrics(
                quality[:, strong] - quality[:, weak], board.quality[:, weak], board.quality[:, strong], board.bootstrap
            )
        return statistics

    return PartResult("strong_calls", scored.figures("strong_calls", score))
