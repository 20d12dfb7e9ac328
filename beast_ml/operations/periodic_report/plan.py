"""The plan of the next period: a command for each finding and each open question, and none beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from beast_ml.operations.costs.spending import Spending
from beast_ml.operations.periodic_report.period import Period
from beast_ml.operations.periodic_report.recommendations import Recommendation
from beast_ml.operations.savings.report import SavingsReport

__all__ = ["plan_of"]

Line = tuple[str, str]


def plan_of(
    period: Period,
    recommendations: Sequence[Recommendation],
    savings: SavingsReport | None,
    spending: Spending,
    *,
    why_not_judged: str | None = None,
    running: Sequence[str] = (),
) -> tuple[Line, ...]:
    """Return the commands of the next period, each with why; in the end the report that will tell what came of it.

    Parameters
    ----------
    recommendations
        What was found.
    savings
        What would save; None where it was not judged.
    spending
        Of the period.
    why_not_judged
        Why savings and choices were not; None where they were.
    running
        Names of the experiments that run.
    """
    found = {each.by: each for each in reversed(recommendations)}  # the first of each kind
    lines = [
        *_of_savings(period, savings),
        *_of_findings(period, found),
        *_of_questions(period, spending, why_not_judged, running),
        (f"beast report {period.kind}", f"when the next {period.kind} is over"),
    ]
    return tuple(lines)


def _of_savings(period: Period, savings: SavingsReport | None) -> Iterator[Line]:
    if savings is None or savings.best is None:
        return
    since = f"--since {period.first.isoformat()}"
    if savings.best.switch.policy is not None:
        yield f"beast report savings {since} --apply 1", "start the best saving as an experiment"
    else:
        yield f"beast report savings {since}", f"the best saving is a setting: {savings.best.switch.how}"


def _of_findings(period: Period, found: dict[str, Recommendation]) -> Iterator[Line]:
    since = f"--since {period.first.isoformat()}"
    if "failures" in found:
        first = found["failures"].what.partition(": ")[0]
        yield f"beast models health --since {period.n_days}d", f"first: {first}"
        yield "beast report errors --since 24h", "every day until it is over: what fails, since when, why"
    if "drift" in found:
        yield f"beast report drift {since}", "what drifted, with its pictures"
        yield "beast learn once", f"learn from what is new, prove it, promote it: {found['drift'].what}"
    if "choices" in found:
        yield f"beast report selection {since}", f"before a training: {found['choices'].what}"
    if "labels" in found:
        yield "beast logs ingest FILE", f"{found['labels'].what}: give them as `quality`"


def _of_questions(
    period: Period, spending: Spending, why_not_judged: str | None, running: Sequence[str]
) -> Iterator[Line]:
    since = f"--since {period.first.isoformat()}"
    if why_not_judged is not None and spending.total["requests"]:
        yield f"beast report savings {since}", f"open: what would save; not judged here: {why_not_judged}"
        yield f"beast report selection {since}", "open: how good the choices were, for the same reason"
    if spending.total["unpriced"]:
        why = f"open: what {spending.total['unpriced']:,} answers cost; give their models prices under `candidates`"
        yield f"beast report costs --by model,tenant {since}", why
    for name in running:
        yield f"beast experiment analyze --experiment {name}", f"open: {name} runs"
