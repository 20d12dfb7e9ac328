"""A saved view of an experiment's list of runs, as MLflow's UI keeps it: a tag of the experiment.

The UI has no interface for it but its own button, so the form is the UI's: JSON with a name, times in milliseconds and
the state of the page as JSON within. A version of the UI that reads it differently leaves it out of its menu.
"""

from __future__ import annotations

import json
from typing import Final

__all__ = ["EVIDENCE_VIEW", "evidence_view"]

EVIDENCE_VIEW: Final = "Trainings by evidence"
"""Its name in the menu Views."""

_TAG: Final = "mlflow.sharedViewState.evidence"
_COLUMNS: Final = (
    "attributes.`Created`",
    "metrics.`evidence/quality_gain`",
    "metrics.`evidence/quality_gain_low`",
    "metrics.`evidence/cost_saving`",
    "metrics.`evidence/cost_saving_low`",
    "tags.`verdict`",
    "tags.`registered`",
)


def evidence_view(at_s: float) -> dict[str, str]:
    """Return the tag of an experiment that offers its trainings with verdict and evidence as columns.

    Parameters
    ----------
    at_s
        When it is made, in seconds since 1970.
    """
    at_ms = int(1000 * at_s)
    state = json.dumps({"selectedColumns": _COLUMNS})
    return {_TAG: json.dumps({"name": EVIDENCE_VIEW, "createdAt": at_ms, "updatedAt": at_ms, "state": state})}
