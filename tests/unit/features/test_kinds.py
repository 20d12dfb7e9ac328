import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.features.kinds import KIND_TABLE, KINDS, KindTable, kind_of_task


def test_every_line_of_the_table_finds_its_own_kind():
    for kind in KINDS:
        for task in kind.tasks:
            name = task.removesuffix("*")
            source, _, own = name.rpartition(":")
            assert kind_of_task(own or "anything", source) == kind.name, task


def test_kinds_have_names_of_their_own():
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower().replace(" ", "_") for name in names)


@pytest.mark.parametrize("task", ["", "unheard of", "mmlu", "javascript", "simple", "mathsy", "gsm"])
def test_a_task_that_is_unknown_or_mixes_kinds_has_none(task):
    assert kind_of_task(task) is None


@pytest.mark.parametrize(
    ("task", "source", "kind"),
    [
        ("javascript", "routerdc7", "code"),
        ("javascript", "bfcl_2024_08", "function_calling"),
        ("gsm8k", "bfcl_2024_08", "function_calling"),
        ("gsm8k", "somewhere else", "maths"),
        ("other", "mmlu_pro", "general_knowledge"),
        ("bbh/multistep_arithmetic_two", "", "maths"),
        ("bbh/snarks", "", "reasoning"),
        ("mt_bench/coding", "", "code"),
        ("mt_bench/writing", "", "conversation"),
        ("Computer Science", "", "science"),
        (" High-School geography ", "", None),
        ("mmlu/High-School geography", "", "social_science"),
    ],
)
def test_the_most_exact_line_wins(task, source, kind):
    assert kind_of_task(task, source) == kind


def test_labels_are_of_each_task_in_order():
    assert KIND_TABLE.labels(["gsm8k", "?", "mbpp", "gsm8k"]).tolist() == ["maths", "", "code", "maths"]
    assert KIND_TABLE.labels(np.array(["javascript"]), "routerdc7").tolist() == ["code"]
    assert KIND_TABLE.labels([]).tolist() == []


def test_own_lines_go_before_the_table():
    table = KIND_TABLE.extended({"GSM8K*": "word_problems", "tickets/*": "support", "javascript": "code"})
    assert [table.kind_of(task) for task in ("gsm8k", "tickets/42", "javascript", "mbpp")] == [
        "word_problems",
        "support",
        "code",
        "code",
    ]


@pytest.mark.parametrize("own", [{"": "a"}, {"*": "a"}, {"a*b": "a"}, {"a": " "}, {"a b": "x", "a_b": "y"}])
def test_lines_that_say_nothing_or_two_things_are_refused(own):
    with pytest.raises(InputError, match="`kinds` maps"):
        KIND_TABLE.extended(own)


def test_an_empty_table_knows_nothing():
    assert KindTable(()).kind_of("gsm8k") is None
