"""Whether a candidate that did not pass the gates is worth a trial on live requests."""

from __future__ import annotations

from typing import Final

from beast_ml.registry.evidence import Evidence
from beast_ml.registry.gates import GateReport

__all__ = ["is_promising"]

_TOO_FEW: Final = "enough data"
_A_MATTER_OF_EVIDENCE: Final = ("pays", _TOO_FEW)


def is_promising(evidence: Evidence, report: GateReport) -> bool:
    """Return whether only evidence is missing: no gate but those of proof failed, and the log does not say no.

    It is estimated to be better; or the log is too small to estimate anything, as after a change, and does not refute
    that it is. With little exploration off-policy intervals are wide; a canary asks the same question directly.
    """
    failed = {check.name for check in report.checks if not check.passed}
    if failed - set(_A_MATTER_OF_EVIDENCE):
        return False
    gain = evidence.quality_gain
    return gain.mean > 0.0 or (_TOO_FEW in failed and gain.high > 0.0)
