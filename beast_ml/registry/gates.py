"""Promotion gates: a pure function of the evidence.

Routing often does not pay, so a router is promoted only on proof: its quality is not lower (by more than a margin)
and it costs less, or its quality is higher; both at the 95% level. It must also be calibrated, its cost intervals
must hold what they promise, and there must be enough test queries to say so.
"""

from __future__ import annotations

import msgspec

from beast_ml.errors import SettingsError
from beast_ml.registry.evidence import Evidence

__all__ = ["Check", "GateReport", "Gates", "judge"]


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The thresholds.

    Parameters
    ----------
    quality_margin
        How much quality may at most be lost for a lower cost; 0..1.
    max_excess_ece
        Ceiling on the calibration error beyond what sampling alone gives; 0..1.
    min_coverage, max_coverage
        Band for the share of costs inside their 90% intervals.
    min_test_queries
        Fewer test queries prove nothing.

    Raises
    ------
    SettingsError
        If a threshold is out of range.
    """

    quality_margin: float = 0.01
    max_excess_ece: float = 0.03
    min_coverage: float = 0.80
    max_coverage: float = 0.98
    min_test_queries: int = 200

    def __post_init__(self) -> None:
        for name in ("quality_margin", "max_excess_ece", "min_coverage", "max_coverage"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"gate `{name}` == {getattr(self, name)}, must be in 0..1")
        if self.min_coverage > self.max_coverage:
            raise SettingsError(f"gate `min_coverage` == {self.min_coverage}, must be <= {self.max_coverage}")
        if self.min_test_queries < 1:
            raise SettingsError(f"gate `min_test_queries` == {self.min_test_queries}, must be >= 1")


class Check(msgspec.Struct, frozen=True):
    """One gate: what was got, what is needed, and why it is asked.

    Parameters
    ----------
    name
        What was checked.
    passed
        Whether it held.
    """

    name: str
    passed: bool
    got: str
    needed: str
    why: str


class GateReport(msgspec.Struct, frozen=True):
    """All gates; the router passes when each does.

    Parameters
    ----------
    checks
        All that were made.
    """

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(check.passed for check in self.checks)

    def failures(self) -> str:
        """Return the gates that did not pass in one line, or an empty string."""
        return "; ".join(f"{c.name}: got {c.got}, needed {c.needed}" for c in self.checks if not c.passed)


def judge(evidence: Evidence, gates: Gates) -> GateReport:
    """Return each gate's verdict on the evidence."""
    return GateReport(
        (_pays(evidence, gates), _calibrated(evidence, gates), _covered(evidence, gates), _enough(evidence, gates))
    )


def _pays(evidence: Evidence, gates: Gates) -> Check:
    gain, saving = evidence.quality_gain, evidence.cost_saving
    better = gain.low > 0
    cheaper = saving is not None and saving.low > 0 and gain.low > -gates.quality_margin
    got = f"quality gain at least {gain.low:+.4f}"
    needed = "quality gain > 0"
    if saving is not None:
        got += f", cost saving at least {saving.low:+.1%}"
        needed = f"quality gain > {-gates.quality_margin:g} and cost saving > 0, or quality gain > 0"
    against = "the best single model" if evidence.reference == "best_single" else "the policy that wrote the log"
    why = f"lower 95% bounds against {against}: routing must be better, or as good and cheaper"
    return Check("pays", better or cheaper, got, needed, why)


def _calibrated(evidence: Evidence, gates: Gates) -> Check:
    excess = max(evidence.quality_ece - evidence.quality_ece_floor, 0.0)
    return Check(
        "calibrated",
        excess <= gates.max_excess_ece,
        f"excess calibration error {excess:.4f}",
        f"<= {gates.max_excess_ece:g}",
        "trade-offs between quality and cost, and quality floors, need probabilities that mean what they say",
    )


def _covered(evidence: Evidence, gates: Gates) -> Check:
    why = "budgets and cost ceilings rely on the 90% intervals"
    needed = f"{gates.min_coverage:.0%} to {gates.max_coverage:.0%}"
    if evidence.cost_coverage is None:
        return Check("covered", True, "no cost to predict", needed, why)
    passed = gates.min_coverage <= evidence.cost_coverage <= gates.max_coverage
    return Check("covered", passed, f"{evidence.cost_coverage:.1%} inside", needed, why)


def _enough(evidence: Evidence, gates: Gates) -> Check:
    passed = evidence.n_test_queries >= gates.min_test_queries
    got, needed = f"{evidence.n_test_queries:,} test queries", f">= {gates.min_test_queries:,}"
    return Check("enough data", passed, got, needed, "a bootstrap over a handful of queries is no proof")
