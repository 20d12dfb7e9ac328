"""A switch as somebody acts on it: of a report that was just made, or of its file."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from beast_ml.errors import InputError
from beast_ml.operations.savings.report import RankedSwitch, SavingsReport
from beast_ml.policy.spec import PolicySpec

__all__ = ["Recommendation", "SwitchFigures", "read_recommendation", "recommendation"]


class SwitchFigures(msgspec.Struct, frozen=True):
    """What a switch comes to; see `beast_ml.operations.savings.estimates.SwitchEstimate`.

    Parameters
    ----------
    saving, saving_low, saving_high, quality, quality_low, quality_high, effective
        As there: changes, their intervals, and the effective sample size.
    """

    saving: float
    saving_low: float
    saving_high: float
    quality: float
    quality_low: float
    quality_high: float
    effective: float


class Recommendation(SwitchFigures, frozen=True, kw_only=True):
    """One switch of a report.

    Parameters
    ----------
    name, how
        What it is, and how to do it without an experiment.
    policy
        What the champion's bundle would decide by; None where the switch is no other policy of that bundle.
    checked
        On the questions that it was not chosen on.
    champion
        Digest of the training data of the bundle that the report was made with; None where there was none.
    recommended
        Whether the report says so.
    """

    name: str
    how: str
    policy: PolicySpec | None
    checked: SwitchFigures | None
    champion: str | None = None
    recommended: bool = True

    @property
    def doubt(self) -> str | None:
        """What speaks against it, for people; None where the report recommends it."""
        if self.recommended:
            return None
        found = self.figures
        return (
            f"the report does not recommend {self.name}: it saves {found.saving:.1%} [{found.saving_low:.1%}, "
            f"{found.saving_high:.1%}] at {100 * found.quality:+.1f} points of quality "
            f"[{100 * found.quality_low:+.1f}, {100 * found.quality_high:+.1f}]"
        )

    @property
    def figures(self) -> SwitchFigures:
        """The figures to quote: those that its own luck is not part of, where there are some."""
        return self.checked or self


class _ReportFile(msgspec.Struct, frozen=True):
    switches: tuple[Recommendation, ...]
    champion: str | None


def recommendation(report: SavingsReport, each: RankedSwitch) -> Recommendation:
    """Return a switch of a report that is at hand."""
    return _of_champion(msgspec.convert(each.to_dict(report.spent_usd), Recommendation), report.champion)


def read_recommendation(path: Path, number: int) -> Recommendation:
    """Return the switch of a number, from 1 on, of the ``report.json`` that `beast report savings --out` wrote.

    Raises
    ------
    InputError
        If the file is no such report, or has no switch of that number.
    """
    try:
        # Not msgspec's decoder: a figure that the log cannot tell is written as NaN.
        report = msgspec.convert(json.loads(path.read_text("utf-8")), _ReportFile)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot use {path} as a savings report: {error}; `beast report savings --out DIR` writes DIR/report.json"
        ) from error
    if not 1 <= number <= len(report.switches):
        raise InputError(f"no switch {number} in {path}, it has 1 to {len(report.switches)}")
    return _of_champion(report.switches[number - 1], report.champion)


def _of_champion(found: Recommendation, champion: str | None) -> Recommendation:
    return msgspec.structs.replace(found, champion=champion)
