"""The table of kinds against the tasks of the published outcome sets."""

import os
from pathlib import Path

import pytest

from beast_ml.benchmarks.labelled_questions import LabelledQuestions, read_tasks
from beast_ml.features.kinds import KIND_TABLE

DATA = os.environ.get("BEAST_DATA_DIR")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="BEAST_DATA_DIR is not set: no real outcome sets"),
]
MIXED = {("quickstart", "mmlu"), ("routerdc7", "mmlu")}
"""Published without their subjects, so of no one kind."""


def test_every_task_of_the_public_sets_has_a_kind_but_where_subjects_are_missing() -> None:
    without = {
        (name, task)
        for name, (_, tasks) in read_tasks(Path(str(DATA))).items()
        for task in set(tasks)
        if KIND_TABLE.kind_of(task, name) is None
    }
    assert without == MIXED


def test_the_same_question_has_the_same_kind_in_every_set() -> None:
    questions = LabelledQuestions.of(read_tasks(Path(str(DATA))))
    kind_of: dict[str, set[str]] = {}
    for prompt, kind in zip(questions.prompts, questions.kinds.tolist(), strict=True):
        kind_of.setdefault(prompt, set()).add(kind)
    assert all(len(kinds) == 1 for kinds in kind_of.values())
