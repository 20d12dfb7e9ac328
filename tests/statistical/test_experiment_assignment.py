"""Shares and propensities of experiments are what they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from beast_ml.experiments.assignment import Assigner, mixture_propensity
from beast_ml.experiments.definitions import Experiment, Variant

UNITS = 200_000


def compared(**shares: float) -> Experiment:
    policy = {"control": "champion"}
    return Experiment(
        id="e", variants=tuple(Variant(name=n, policy=policy.get(n, "challenger"), share=s) for n, s in shares.items())
    )


@pytest.mark.parametrize("name", ["user-{}", "{}", "acme\0user\0{:032x}"])
def test_counts_are_drawn_with_the_shares(name: str) -> None:
    assigner = Assigner(compared(control=0.45, new=0.05).with_shares({"new": 0.15, "control": 0.25}))
    drawn = [assigner.assign(name.format(i)) for i in range(UNITS)]
    expected = {each.variant: each.probability * UNITS for each in drawn}
    counts = Counter(each.variant for each in drawn)
    assert set(expected) == {"control", "new", None}
    assert stats.chisquare([counts[v] for v in expected], list(expected.values())).pvalue > 1e-4


def test_an_assignment_does_not_depend_on_a_neighbours() -> None:
    assigner = Assigner(compared(control=0.5, new=0.5))
    new = np.array([assigner.assign(f"user-{i}").variant == "new" for i in range(UNITS)])
    table = [[np.sum((new[:-1] == a) & (new[1:] == b)) for a in (False, True)] for b in (False, True)]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_weights_by_the_mixture_value_any_policy_without_bias() -> None:
    """Two policies that explore differently serve an experiment; weighted by the mixture, the log values a third."""
    rng = np.random.default_rng(5)
    assigner = Assigner(compared(control=0.6, new=0.3))
    policies = {"champion": np.array([0.8, 0.1, 0.1]), "challenger": np.array([0.05, 0.05, 0.9])}
    target = np.array([0.2, 0.5, 0.3])
    quality = np.array([0.9, 0.4, 0.6])
    n = 60_000
    weighted, counted = np.empty(n), Counter[int]()
    shares = assigner.policy_shares
    mixed = [mixture_propensity(shares, {p: float(v[j]) for p, v in policies.items()}) for j in range(3)]
    for i in range(n):
        model = int(rng.choice(3, p=policies[assigner.assign(f"user-{i}").policy]))
        counted[model] += 1
        weighted[i] = target[model] / mixed[model] * (rng.random() < quality[model])
    assert stats.chisquare([counted[j] for j in range(3)], np.array(mixed) * n).pvalue > 1e-4
    error = weighted.std(ddof=1) / np.sqrt(n)
    assert abs(weighted.mean() - float(target @ quality)) < 4 * error
    assert error < 0.01
