"""What became of every change that was proposed: the registry's record, and the loop's own reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from beast_ml.operations.learning_loop.states import Finished, Verdict
from beast_ml.registry.proposals import Outcome, Proposal

__all__ = ["with_cycles"]

_OUTCOMES: Final[dict[Verdict, Outcome]] = {"rejected": "refused", "rolled back": "taken back", "promoted": "adopted"}


def with_cycles(recorded: Sequence[Proposal], finished: Sequence[Finished]) -> list[Proposal]:
    """Return proposals with what the loop's cycles have found of their candidates, oldest first.

    A candidate that a cycle promoted may have been taken back by hand since, and one that it rejected been promoted:
    then the registry is right. Of candidates that the registry does not hold any more, the cycle tells.
    """
    ended: dict[int | None, Finished] = {cycle.candidate: cycle for cycle in finished if cycle.candidate is not None}
    found = []
    for each in recorded:
        cycle = ended.pop(each.version, None)
        if cycle is None:
            found.append(each)
        elif each.outcome in ("adopted", "taken back"):
            found.append(
                replace(each, because=cycle.reason if _OUTCOMES[cycle.verdict] == each.outcome else each.because)
            )
        else:
            found.append(replace(each, outcome=_OUTCOMES[cycle.verdict], because=cycle.reason))
    for version, cycle in ended.items():
        what = f"version {version} of cycle {cycle.cycle}, which is registered no more"
        found.append(Proposal("learning", what, cycle.at, _OUTCOMES[cycle.verdict], cycle.reason, version))
    return sorted(found, key=lambda each: (each.at, each.version or 0))
