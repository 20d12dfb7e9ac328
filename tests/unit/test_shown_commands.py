"""What the READMEs show can be typed: programs, commands, options, extras, tasks and scripts are all there."""

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import beast_ml
from beast_ml.testing.shown_commands import command_path, shown_commands, what_is_wrong

ROOT = Path(beast_ml.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [
    ROOT / "README.md",
    *(page for folder in ("beast_ml", "data", "notebooks") for page in sorted((ROOT / folder).rglob("README.md"))),
]
STANDS_FOR = {"...": [], "N": ["2"]}
"""What a reader puts in the place of a word, where it matters to the command line."""


GROUPS_OF_ONE = {
    "beast data list": "tests/e2e/test_data_command.py",
    "beast logs check": "tests/unit/cli/test_logs.py",
    "beast logs compact": "tests/unit/cli/test_logs.py",
    "beast report month": "tests/unit/cli/test_report_period.py",
    "beast report quarter": "tests/unit/cli/test_report_period.py",
}
"""Commands whose tests name the group once for all of them."""


def complaint(words):
    """Return what is wrong with a command, less what a sentence may leave out."""
    program, *arguments = [typed for word in words for typed in STANDS_FOR.get(word, [word])]
    if program == "beast":
        return what_is_wrong(arguments)
    if program == "poe":
        return None if arguments[0] in PROJECT["tool"]["poe"]["tasks"] else f"no task {arguments[0]}"
    if program == "pip":
        assert arguments[0] == "install"
        extras = re.findall(r"\[(.+?)\]", " ".join(arguments))
        unknown = {name for each in extras for name in each.split(",")} - set(
            PROJECT["project"]["optional-dependencies"]
        )
        return f"no extra {unknown}" if unknown and "llmrouter" not in words else None
    if program == "python":
        found = find_spec(arguments[1]) if arguments[0] == "-m" else (ROOT / arguments[0]).is_file()
        return None if found else f"no {arguments[0]}"
    return None  # curl: asked of a server, in tests/integration/serving


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_is_one(page):
    wrong = {}
    for shown in shown_commands(page):
        said = complaint(shown.words)
        left_out = shown.is_mentioned and said and ("Missing" in said or "requires an argument" in said)
        if said and not left_out:
            wrong[f"{page.name}:{shown.line}: {shown}"] = said
    assert wrong == {}


def test_every_command_to_be_copied_is_run_by_a_test():
    """Its words stand in a test as arguments of the command line: `"cache", "stats"`."""
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    tests = "\n".join(text for text in texts if "beast" in text)
    copied = {
        command_path(shown.words[1:])
        for page in PAGES
        for shown in shown_commands(page)
        if shown.words[0] == "beast" and not shown.is_mentioned
    }
    assert len(copied) > 25
    assert all((ROOT / page).is_file() for page in GROUPS_OF_ONE.values())
    quoted = {path: ", ".join(f'"{word}"' for word in path) for path in copied}
    never_run = {f"beast {' '.join(path)}" for path, words in quoted.items() if words not in tests}
    assert never_run <= set(GROUPS_OF_ONE)


def test_commands_are_found_where_they_stand_and_wrong_ones_are_told(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(
        "Say `beast promte` or `beast\nroute`:\n\n"
        "    beast serve --prot 1   # a comment\n    A=1 beast logs check && beast quickstart\n    not: code\n\n"
        "```bash\nbeast estimate 'a b'\n```\n\n```python\nbeast = route\n```\n\n    beast serve ── worker\n"
    )
    found = [(shown.line, str(shown), shown.is_mentioned) for shown in shown_commands(page)]
    assert found == [
        (4, "beast serve --prot 1", False),
        (5, "beast logs check", False),
        (5, "beast quickstart", False),
        (9, "beast estimate 'a b'", False),
        (1, "beast promte", True),
        (1, "beast route", True),
    ]
    assert "--prot" in complaint(("beast", "serve", "--prot", "1"))
    assert "promte" in complaint(("beast", "promte"))
    assert "Missing" in complaint(("beast", "route"))
    assert complaint(("beast", "estimate", "a b")) is None
    assert "no task" in complaint(("poe", "tset"))
    assert "no extra" in complaint(("pip", "install", "-e", ".[sevre]"))
    assert complaint(("python", "pipelines/none.py")) == "no pipelines/none.py"
