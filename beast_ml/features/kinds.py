"""The kinds of request, and which task is of which kind: the one table to look at, and to extend.

A kind is what a request is about, coarse enough to recur from one deployment to the next. Tasks are names that logs
and benchmarks carry (``gsm8k``, ``mmlu/virology``); the classifier in `beast_ml.predictors.request_kind` learns kinds
from prompts whose task is in this table. A task that is not in it has no kind and trains nothing, and a kind that no
task of the training data maps to is never predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError

__all__ = ["KINDS", "KIND_TABLE", "Kind", "KindTable", "kind_of_task"]


@dataclass(frozen=True)
class Kind:
    """A kind of request and the tasks that are of it.

    Parameters
    ----------
    name
        How logs and decisions call it.
    what
        What it stands for, in a few words.
    tasks
        Task names, or beginnings of names that end in ``*``. ``source:task`` holds for one outcome set alone.
    """

    name: str
    what: str
    tasks: tuple[str, ...]


def _mmlu(*subjects: str) -> tuple[str, ...]:
    """Return the names the subjects go by: ``mmlu/x`` here, ``mmlu_x`` in evaluation harnesses."""
    return tuple(f"mmlu{separator}{subject}" for subject in subjects for separator in "/_")


KINDS: Final = (
    Kind("maths", "calculation and proof, from word problems to competition mathematics", (
        "math", "maths", "mathematics", "arithmetic", "gsm8k*", "math_l5", "math500", "prealgebra", "mt_bench/math",
        "bbh/multistep_arithmetic_two",
        *_mmlu("abstract_algebra", "elementary_mathematics", "high_school_mathematics", "college_mathematics",
               "high_school_statistics"),
    )),
    Kind("code", "writing, reading or mending programs", (
        "code", "coding", "programming", "code_*", "mbpp*", "humaneval*", "cruxeval*", "mt_bench/coding",
        "routerdc7:javascript",
    )),
    Kind("function_calling", "choosing a tool and its arguments", (
        "function_calling", "tool_use", "tools", "bfcl*", "parallel_function", "multiple_function",
        "parallel_multiple_function", "executable_*", "bfcl_2024_08:*",
    )),
    Kind("science", "natural science, engineering and computing, as knowledge", (
        "science", "stem", "physics", "chemistry", "biology", "engineering", "computer_science", "arc_*", "sciq",
        "openbookqa",
        *_mmlu("astronomy", "conceptual_physics", "high_school_physics", "college_physics", "high_school_chemistry",
               "college_chemistry", "high_school_biology", "college_biology", "electrical_engineering",
               "high_school_computer_science", "college_computer_science", "machine_learning", "computer_security"),
    )),
    Kind("medicine", "health, medicine and the body", (
        "medicine", "medical", "health", "medqa", "pubmedqa", "medmcqa",
        *_mmlu("anatomy", "clinical_knowledge", "college_medicine", "professional_medicine", "medical_genetics",
               "virology", "nutrition", "human_aging"),
    )),
    Kind("law", "law and legal reasoning", (
        "law", "legal", *_mmlu("professional_law", "international_law", "jurisprudence"),
    )),
    Kind("business", "economics, accounting, management and marketing", (
        "business", "economics", "finance", "accounting", "marketing",
        *_mmlu("high_school_macroeconomics", "high_school_microeconomics", "econometrics", "professional_accounting",
               "management", "marketing", "business_ethics", "public_relations"),
    )),
    Kind("social_science", "psychology, sociology, politics and geography", (
        "social_science", "psychology", "sociology", "politics", "geography",
        *_mmlu("high_school_psychology", "professional_psychology", "sociology", "human_sexuality",
               "high_school_geography", "high_school_government_and_politics", "us_foreign_policy",
               "security_studies"),
    )),
    Kind("humanities", "history, philosophy, religion and ethics", (
        "humanities", "history", "philosophy",
        *_mmlu("prehistory", "high_school_us_history", "high_school_world_history", "high_school_european_history",
               "philosophy", "world_religions", "moral_disputes", "moral_scenarios"),
    )),
    Kind("general_knowledge", "trivia and facts of no one field", (
        "general_knowledge", "trivia", "trivia_qa", "triviaqa", "natural_questions", "truthful_qa*", "truthfulqa*",
        "boolq", "mmlu_pro:other", *_mmlu("miscellaneous", "global_facts"),
    )),
    Kind("commonsense", "everyday situations, and what follows in them", (
        "commonsense", "commonsense_qa", "winogrande*", "hellaswag", "piqa", "social_iqa", "siqa",
    )),
    Kind("reasoning", "logic puzzles, and conclusions from what is given", (
        "reasoning", "logic", "bbh/*", "bbh_*", "logiqa*", "mt_bench/reasoning", *_mmlu("formal_logic",
        "logical_fallacies"),
    )),
    Kind("chinese_exams", "examination questions of all subjects in Chinese", ("ceval*", "cmmlu*")),
    Kind("conversation", "open questions, advice, writing and roles", (
        "conversation", "chat", "chitchat", "open_ended", "writing", "creative_writing", "roleplay", "brainstorming",
        "arena_hard*", "mt_bench/*",
    )),
    Kind("summarisation", "shortening and extracting from a given text", (
        "summarisation", "summarization", "summarise", "summarize", "summary", "extraction",
    )),
    Kind("translation", "from one language into another", ("translation", "translate", "wmt*")),
)  # fmt: skip
"""All kinds. A name that several sources use for different things (``javascript``), or that mixes kinds (``mmlu``
without a subject), stands here with its source or not at all."""


@dataclass(frozen=True)
class KindTable:
    """Looks up the kind of a task.

    Parameters
    ----------
    lines
        Pairs of a task pattern and its kind; a whole name beats a beginning, a longer beginning beats a shorter one.

    Raises
    ------
    InputError
        If a pattern or a kind is empty, has a ``*`` elsewhere than at its end, or stands for two kinds.

    Examples
    --------
    >>> KIND_TABLE.kind_of("mmlu/virology"), KIND_TABLE.kind_of("our tickets")
    ('medicine', None)
    >>> KIND_TABLE.extended({"our tickets": "support"}).kind_of("Our tickets")
    'support'
    """

    lines: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for pattern, kind in self.lines:
            if not kind.strip() or not pattern.strip("* ") or "*" in pattern[:-1]:
                raise InputError(
                    f"`kinds` maps {pattern!r} to {kind!r}, must map a task, or the beginning of one and a final *, "
                    "to the name of a kind"
                )
            if seen.setdefault(_normal(pattern), kind) != kind:
                raise InputError(f"`kinds` maps {pattern!r} to both {seen[_normal(pattern)]!r} and {kind!r}: keep one")

    @cached_property
    def _whole(self) -> dict[str, str]:
        return {_normal(pattern): kind for pattern, kind in self.lines if not pattern.endswith("*")}

    @cached_property
    def _beginnings(self) -> tuple[tuple[str, str], ...]:
        """Longest first."""
        found = [(_normal(pattern[:-1]), kind) for pattern, kind in self.lines if pattern.endswith("*")]
        return tuple(sorted(found, key=lambda line: -len(line[0])))

    def kind_of(self, task: str, source: str = "") -> str | None:
        """Return the kind of a task, or None when the table does not know it.

        Parameters
        ----------
        task
            Its name; case does not count, spaces and hyphens read as underscores.
        source
            The outcome set it comes from, whose own lines (``source:task``) go first.
        """
        return (self._find(_normal(f"{source}:{task}")) if source else None) or self._find(_normal(task))

    def labels(self, tasks: Sequence[str] | NDArray[np.str_], source: str = "") -> NDArray[np.str_]:
        """Return (n,) kinds of n tasks, "" where the table does not know one."""
        names, index = np.unique(np.asarray(tasks, dtype=str), return_inverse=True)
        found = np.array([self.kind_of(str(name), source) or "" for name in names], dtype=str)
        return np.asarray(found[index] if len(names) else np.empty(0, dtype=str))

    def extended(self, own: Mapping[str, str]) -> KindTable:
        """Return a table in which a deployment's own lines replace those for the same pattern."""
        replaced = {_normal(pattern) for pattern in own}
        kept = tuple(line for line in self.lines if _normal(line[0]) not in replaced)
        return KindTable((*kept, *own.items()))

    def _find(self, name: str) -> str | None:
        if name in self._whole:
            return self._whole[name]
        return next((kind for beginning, kind in self._beginnings if name.startswith(beginning)), None)


def _normal(task: str) -> str:
    return task.strip().casefold().replace(" ", "_").replace("-", "_")


KIND_TABLE: Final = KindTable(tuple((task, kind.name) for kind in KINDS for task in kind.tasks))
"""The table above, for look-ups."""


def kind_of_task(task: str, source: str = "") -> str | None:
    """Return the kind of a task by the built-in table; see `KindTable.kind_of`.

    Examples
    --------
    >>> kind_of_task("gsm8k"), kind_of_task("javascript"), kind_of_task("javascript", "routerdc7")
    ('maths', None, 'code')
    """
    return KIND_TABLE.kind_of(task, source)
