"""Distinct questions of the outcome sets with the kind of their task, and what tells that two are the same question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.features.kinds import KIND_TABLE, KindTable
from beast_ml.logs.splits import normalise_question

__all__ = ["LabelledQuestions", "question_stem", "read_tasks"]

_OPTION: Final = re.compile(r"\s*(\(?[a-p][.):]\s|print only)", re.IGNORECASE)
_FRAME: Final = re.compile(r"^\s*question:|(answer|答案)[:：]\s*$", re.IGNORECASE)
_WORDS: Final = re.compile(r"\w+")

Tasks = Mapping[str, tuple[Sequence[str], Sequence[str]]]


def question_stem(prompt: str) -> str:
    r"""Return the words of a question without its options and without "Question:" and "Answer:" around it.

    Benchmarks print the same question with other options, in another frame, or both; its stem stays the same.

    Examples
    --------
    >>> question_stem("Question: Is water wet?\nA. Yes\nB. No\nAnswer:")
    'is water wet'
    """
    text = "\n".join(line for line in prompt.splitlines() if not _OPTION.match(line)).strip()
    return " ".join(_WORDS.findall(_FRAME.sub("", _FRAME.sub("", text)).casefold()))


def read_tasks(folder: Path | None) -> dict[str, tuple[list[str], list[str]]]:
    """Return (prompts, tasks) of each outcome set in a folder (``NAME/outcomes.parquet``), and of the quickstart's.

    Raises
    ------
    MissingExtraError
        If ``paretobandit``, which the quickstart set comes with, is not installed.
    """
    import pandas as pd

    from beast_ml.logs.public.quickstart import load_quickstart

    columns = ["query_id", "task", "prompt"]
    frames = {"quickstart": pd.concat(load_quickstart())[columns]}
    for path in sorted(folder.glob("*/outcomes.parquet")) if folder else ():
        frames[path.parent.name] = pd.read_parquet(path, columns=columns)
    once = {name: frame.drop_duplicates("query_id") for name, frame in frames.items()}
    return {name: (frame["prompt"].tolist(), frame["task"].fillna("").tolist()) for name, frame in once.items()}


@dataclass(frozen=True)
class LabelledQuestions:
    """Questions whose kind the table knows, each once a set.

    Parameters
    ----------
    prompts
        Length n.
    sets, kinds
        (n,) the set a question is from, and its kind.
    groups
        (n,) equal where the question is the same but for its options and its frame.
    first
        (n,) whether no earlier set has the same text.
    n_without_kind
        Distinct questions of each set whose task the table does not know; they are not in here.
    """

    prompts: tuple[str, ...]
    sets: NDArray[np.str_]
    kinds: NDArray[np.str_]
    groups: NDArray[np.intp]
    first: NDArray[np.bool_]
    n_without_kind: Mapping[str, int]

    @classmethod
    def of(cls, tasks: Tasks, table: KindTable = KIND_TABLE) -> LabelledQuestions:
        """Label the (prompts, tasks) of each set by name; a text that comes twice in a set counts once."""
        prompts: list[str] = []
        sets: list[str] = []
        kinds: list[str] = []
        first: list[bool] = []
        unknown: dict[str, int] = {}
        seen_before: set[str] = set()
        for name, (texts, task_names) in tasks.items():
            labels, here = table.labels(task_names, name), set()
            for text, kind in zip(texts, labels.tolist(), strict=True):
                question = normalise_question(text)
                if question in here:
                    continue
                here.add(question)
                if not kind:
                    unknown[name] = unknown.get(name, 0) + 1
                    continue
                prompts.append(text)
                sets.append(name)
                kinds.append(kind)
                first.append(question not in seen_before)
            seen_before |= here
        stems = [question_stem(text) or text for text in prompts]
        number = {stem: i for i, stem in enumerate(sorted(set(stems)))}
        return cls(
            tuple(prompts),
            np.array(sets, dtype=str),
            np.array(kinds, dtype=str),
            np.array([number[stem] for stem in stems], dtype=np.intp),
            np.array(first, dtype=bool),
            unknown,
        )
