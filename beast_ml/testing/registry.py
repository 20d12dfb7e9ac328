"""Evidence and stores for tests of what stands on the registry."""

from __future__ import annotations

import msgspec

from beast_ml.registry.evidence import Evidence, Interval

__all__ = ["make_evidence"]


def make_evidence(**changes: object) -> Evidence:
    """Return evidence that passes the default gates (half the cost, no worse), with some fields replaced.

    Examples
    --------
    >>> make_evidence(n_test_queries=10).n_test_queries
    10
    """
    proven = Evidence(
        source="outcomes",
        reference="best_single",
        n_train_queries=4_000,
        n_test_queries=1_000,
        router_quality=0.81,
        router_cost=0.001,
        best_single_model="large",
        best_single_quality=0.80,
        best_single_cost=0.002,
        quality_gain=Interval(0.01, -0.002, 0.022),
        cost_saving=Interval(0.5, 0.45, 0.55),
        quality_ece=0.02,
        quality_ece_floor=0.015,
        cost_coverage=0.9,
        cost_unit="USD",
        data_digest="d" * 64,
    )
    return msgspec.structs.replace(proven, **changes)
