"""Prompts put to endpoints by a command: whom, who grades, for how much, and where it is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from beast_ml.cli.output import progress_bar, say
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.domain import Price
    from beast_ml.domain.endpoint import Endpoint
    from beast_ml.serving.asking.round import GradedAnswer, Question
    from beast_ml.settings import Settings

__all__ = [
    "JudgeOption",
    "LiveAnswers",
    "MaxTokensOption",
    "MaxUsdOption",
    "ask_live",
    "endpoint_of",
    "rows_of",
    "write_answers",
]

JudgeOption = Annotated[
    str | None,
    typer.Option(help="Who grades answers: `equal` (to the column `reference` of the prompts), or a model you serve."),
]
"""Who grades; None: nobody."""

MaxUsdOption = Annotated[float, typer.Option(min=0.0, help="The most that all calls may cost, the judge's too, USD.")]
"""The bound on money."""

MaxTokensOption = Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")]
"""The bound on the length of an answer."""

_EQUAL: Final = "equal"


@dataclass(frozen=True)
class LiveAnswers:
    """What came of asking.

    Parameters
    ----------
    answers
        Of every model to every prompt.
    spent_usd
        What all calls kept beside them may have cost, those of earlier runs too.
    seconds
        How long it took.
    """

    answers: Sequence[GradedAnswer]
    spent_usd: float
    seconds: float

    @property
    def n_answered(self) -> int:
        """Answers there are."""
        return sum(each.call is not None and each.call.error_kind is None for each in self.answers)

    @property
    def n_failed(self) -> int:
        """Calls whose last try failed."""
        return sum(each.call is not None and each.call.error_kind is not None for each in self.answers)

    @property
    def n_left_out(self) -> int:
        """Prompts that there was no money for."""
        return sum(each.call is None for each in self.answers)

    def to_dict(self) -> dict[str, object]:
        """Return the figures for a report."""
        kinds = [each.call.error_kind for each in self.answers if each.call is not None]
        return {
            "answered": self.n_answered,
            "graded": sum(each.quality is not None for each in self.answers),
            "failed": {kind: kinds.count(kind) for kind in sorted({kind for kind in kinds if kind is not None})},
            "left_out": self.n_left_out,
            "spent_usd": self.spent_usd,
            "seconds": self.seconds,
        }

    def warn(self, max_usd: float) -> None:
        """Say what is missing."""
        if self.n_failed:
            first = next(each.call for each in self.answers if each.call is not None and each.call.error_kind)
            say(f"warning: {self.n_failed} calls failed, the first by {first.error_kind}: {first.said}")
        if self.n_left_out:
            say(
                f"warning: {self.n_left_out} prompts were left out, --max-usd {max_usd:g} is spent: raise it, run again"
            )
        ungraded = self.n_answered - sum(each.quality is not None for each in self.answers)
        if ungraded:
            say(f"warning: {ungraded} answers have no grade")


def endpoint_of(model: str, settings: Settings) -> Endpoint:
    """Return the first endpoint of a model in the settings.

    Raises
    ------
    InputError
        If it has none.
    """
    for each in settings.endpoints:
        if each.model == model:
            return each.endpoint()
    raise InputError(f"{model!r} has no endpoint: name one under `endpoints` in mlflow.yaml")


def ask_live(
    endpoints: Mapping[str, Endpoint],
    prices: Mapping[str, Price],
    questions: Sequence[Question],
    judge: str | None,
    settings: Settings,
    journal: Path,
    *,
    max_usd: float,
    max_tokens: int,
) -> LiveAnswers:
    """Put the same prompts to models, with a progress bar; what an earlier run was answered is not asked again.

    Parameters
    ----------
    endpoints
        Model -> where it answers.
    prices
        Of models, the judge among them.
    judge
        As `JudgeOption`.
    journal
        Where calls are kept.

    Raises
    ------
    InputError
        If a price, the judge's endpoint or all references are missing.
    ProviderError
        If an endpoint refuses its key.
    """
    import asyncio

    from beast_ml.serving.asking.ask import Asker
    from beast_ml.serving.asking.grade import EqualGrader, ModelGrader
    from beast_ml.serving.asking.journal import CallJournal
    from beast_ml.serving.asking.round import answer_all

    called = list(endpoints.values())
    if judge == _EQUAL and not any(each.reference for each in questions):
        raise InputError("`--judge equal` compares with references: give the prompts a column `reference`")
    if judge not in (None, _EQUAL, *endpoints):
        called.append(endpoint_of(str(judge), settings))
    if judge in endpoints:
        raise InputError(f"`--judge` == {judge!r} would grade its own answers: name another model, or `equal`")

    async def ask() -> LiveAnswers:
        began = time.perf_counter()
        asker = Asker(called, prices, os.environ, CallJournal(journal), max_usd=max_usd, max_tokens=max_tokens)
        grader = None if judge is None else EqualGrader() if judge == _EQUAL else ModelGrader(asker, judge)
        try:
            with progress_bar() as bar:
                task = bar.add_task(f"asking {', '.join(endpoints)}", total=len(questions))
                answers = await answer_all(
                    asker, list(endpoints), questions, grader, progress=lambda done, _: bar.update(task, completed=done)
                )
        finally:
            await asker.close()
        return LiveAnswers(answers, asker.spent_usd, time.perf_counter() - began)

    return asyncio.run(ask())


def write_answers(path: Path, answers: Sequence[GradedAnswer]) -> None:
    """Write answers as an outcome table, with what was said beside; those that there was no money for are left out."""
    from beast_ml.cli.probe_files import write_table

    write_table(path, rows_of(answers))


def rows_of(answers: Sequence[GradedAnswer]) -> list[dict[str, Any]]:
    """Return the rows of an outcome table; a call that failed has its cost and kind of error alone."""
    return [
        {
            "query_id": each.question.query_id,
            "task": each.question.task or None,
            "model": each.model,
            "prompt": each.question.prompt,
            "quality": each.quality,
            "input_tokens": each.call.input_tokens,
            "output_tokens": each.call.output_tokens,
            "cost_usd": each.call.cost_usd,
            "latency_s": each.call.latency_s if each.call.error_kind is None else None,
            "error_kind": each.call.error_kind,
            "answer": each.call.text,
        }
        for each in answers
        if each.call is not None
    ]
