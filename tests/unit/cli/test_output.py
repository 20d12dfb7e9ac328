import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from beast_ml.cli import output
from beast_ml.errors import InputError


@dataclass(frozen=True)
class Thing:
    name: str


def printed(capsys, value):
    output.print_json(value)
    out = capsys.readouterr()
    assert out.err == ""
    return json.loads(out.out)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (float("nan"), None),
        ({"a": float("inf"), 3: (1, 2)}, {"a": None, "3": [1, 2]}),
        ({"b", "a"}, ["a", "b"]),
        (Path("a/b"), "a/b"),
        (None, None),
        (True, True),
        ("größe\ud800", "größe\ud800"),
        (Thing("x"), "Thing(name='x')"),
    ],
)
def test_json_is_plain_whatever_it_is_made_from(capsys, value, expected):
    assert printed(capsys, {"value": value}) == {"value": expected}


def test_a_table_shows_its_cells(capsys):
    output.print_table("Title", ("model", "cost"), [("small", 0.000123456), ("large", 2)], caption="below")
    text = capsys.readouterr().out
    for part in ("Title", "model", "small", "0.0001235", "2", "below"):
        assert part in text


def test_brackets_in_a_cell_are_no_markup(capsys):
    output.print_table("T", ("model", "why"), [("llama[4bit]", "no column [/red] [bold]")])
    out = capsys.readouterr().out
    assert "llama[4bit]" in out
    assert "no column [/red] [bold]" in out


def test_an_empty_table_still_has_its_columns(capsys):
    output.print_table("Title", ("model", "cost"), [])
    assert "cost" in capsys.readouterr().out


def test_a_narrow_table_breaks_long_names_and_leaves_nothing_out(capsys, monkeypatch):
    monkeypatch.setattr(output, "stdout", Console(width=24))
    names = [f"provider-model-number-{i}" for i in range(2)]
    output.print_table("T", ("model", "against"), [names])
    cells = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert ["".join(part.strip() for part in column) for column in zip(*cells, strict=True)] == names


def test_numbers_are_aligned_to_the_right(capsys):
    output.print_table("T", ("n",), [(1,), (1000,)])
    lines = [line.strip("│ ").strip() for line in capsys.readouterr().out.splitlines()]
    assert "1" in lines
    output.print_table("T", ("n",), [(1,), (1000,)])
    assert "│    1 │" in capsys.readouterr().out


def test_bars_are_opened_once_a_thing_and_moved():
    progress = output.progress_bar()
    bars = output.Bars(progress)
    for what, done in (("quality", 1), ("cost", 5), ("quality", 3)):
        bars.advance(what, done, 10)
    assert [(task.description, task.completed, task.total) for task in progress.tasks] == [
        ("quality", 3, 10),
        ("cost", 5, 10),
    ]


@pytest.mark.parametrize("text", ["learning [from] logs", "warning: [/odd] brackets"])
def test_what_is_said_goes_to_standard_error_as_it_is(capsys, text):
    output.say(text)
    out = capsys.readouterr()
    assert (out.out, out.err.strip()) == ("", text)


def test_one_of_several_is_checked():
    assert output.one_of("--encoder", "static", ("static", "minilm")) == "static"
    with pytest.raises(InputError, match="`--encoder` == 'bert', must be one of static, minilm"):
        output.one_of("--encoder", "bert", ("static", "minilm"))
