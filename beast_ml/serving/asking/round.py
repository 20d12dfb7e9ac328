"""The same prompts put to one or several models, and their answers graded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from beast_ml.serving.asking.ask import Asker
from beast_ml.serving.asking.grade import Grader
from beast_ml.serving.asking.journal import AskedCall

__all__ = ["GradedAnswer", "Question", "answer_all"]

T = TypeVar("T")


class Question(msgspec.Struct, frozen=True):
    """What is asked.

    Parameters
    ----------
    query_id
        By which it is known.
    prompt
        The text.
    reference
        An answer that is right, where one is known.
    task
        What the prompt is for.
    """

    query_id: str
    prompt: str
    reference: str | None = None
    task: str = ""


class GradedAnswer(msgspec.Struct, frozen=True):
    """What one model made of one prompt.

    Parameters
    ----------
    question, model
        Who was asked what.
    call
        The answer, or the last failure to get one; None where there was no money left to ask.
    quality
        0..1; None where there is no answer, or nobody graded it.
    """

    question: Question
    model: str
    call: AskedCall | None
    quality: float | None


async def answer_all(
    asker: Asker,
    models: Sequence[str],
    questions: Sequence[Question],
    grader: Grader | None,
    *,
    at_once: int = 4,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[GradedAnswer]:
    """Return every model's answer to every prompt, prompt by prompt.

    A prompt is put to all models, and their answers are graded, before its place is given to the next: where money runs
    out, the first prompts are complete, and the last ones not begun.

    Parameters
    ----------
    grader
        None: nothing is graded.
    at_once
        Prompts that are worked on at a time.
    progress
        Called with the number of prompts that are done, and of all.

    Raises
    ------
    ProviderError
        If an endpoint refuses its key; calls on their way are given up.
    """
    room, n_done = asyncio.Semaphore(at_once), 0

    async def one(question: Question, model: str) -> GradedAnswer:
        call = await asker.ask(model, [{"role": "user", "content": question.prompt}])
        quality = None
        if grader is not None and call is not None and call.text is not None:
            quality = await grader.grade(question.prompt, call.text, question.reference)
        return GradedAnswer(question, model, call, quality)

    async def all_models(question: Question) -> list[GradedAnswer]:
        nonlocal n_done
        async with room:
            found = await _together([one(question, model) for model in models])
        n_done += 1
        progress(n_done, len(questions))
        return found

    return [each for found in await _together([all_models(question) for question in questions]) for each in found]


async def _together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what coroutines return, in their order; the first error ends the others, and is raised as it is."""
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks.extend(group.create_task(call) for call in calls)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
