"""Whether a candidate that did not pass the gates is worth a trial on live requests."""

from __future__ import annotations

from typing import Final

from beast_ml.registry.evidence import Evidence
from beast_ml.registry.gates import GateReport

__all__ = ["is_promising"]

_A_MATTER_OF_EVIDENCE: Final = ("pays", "enough data")


def is_promising(evidence: Evidence, report: GateReport) -> bool:
    """Return whether only evidence is missing: it is estimated to be better, and no gate but those of proof failed.

    With little exploration in the log, off-policy intervals are wide; a canary asks the same question directly.
    """
    sound = all(check.passed for check in report.checks if check.name not in _A_MATTER_OF_EVIDENCE)
    return sound and evidence.quality_gain.mean > 0.0
