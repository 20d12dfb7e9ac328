"""Every public symbol, endpoint and option is documented: counted, and 100%."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import beast_ml
from beast_ml.cli.main import app
from beast_ml.serving.api import OPERATIONS
from beast_ml.serving.openapi import openapi_document

PACKAGE = Path(beast_ml.__file__).parent
Counted = Iterator[tuple[str, bool]]
"""Names, and whether each is documented."""


def check(what: str, counted: Counted, least: int) -> None:
    """Print the share that is documented; fail where it is not all of at least so many."""
    found = list(counted)
    missing = [name for name, is_documented in found if not is_documented]
    print(f"{what}: {len(found) - len(missing)} of {len(found)} documented")  # noqa: T201 - the figure
    assert missing == []
    assert len(found) >= least


def is_public(name: str) -> bool:
    return not name.startswith("_")


def is_explained(body: list[ast.stmt], position: int, lines: list[str]) -> bool:
    """Whether the text below an assignment, or a comment above or beside it, says what it is."""
    node = body[position]
    below = body[position + 1] if position + 1 < len(body) else None
    if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
        return True
    beside = any("  # " in line for line in lines[node.lineno - 1 : node.end_lineno])
    return beside or lines[node.lineno - 2].lstrip().startswith("# ")


def assigned(node: ast.stmt) -> str | None:
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) else None


def members(owner: ast.ClassDef, lines: list[str]) -> Counted:
    said = ast.get_docstring(owner) or ""
    for position, node in enumerate(owner.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_public(node.name):
            yield f"{owner.name}.{node.name}", ast.get_docstring(node) is not None
        elif (name := assigned(node)) and is_public(name):
            named = re.search(rf"\b{name}\b", said) is not None
            yield f"{owner.name}.{name}", named or is_explained(owner.body, position, lines)


def symbols(path: Path) -> Counted:
    """Yield the module, what its `__all__` names, and the public methods and fields of its classes."""
    text = path.read_text()
    tree, lines = ast.parse(text), text.splitlines()
    where = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    yield where, ast.get_docstring(tree) is not None
    public = next((ast.literal_eval(node.value) for node in tree.body if assigned(node) == "__all__"), ())
    for position, node in enumerate(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in public:
            yield f"{where}.{node.name}", ast.get_docstring(node) is not None
            if isinstance(node, ast.ClassDef):
                yield from ((f"{where}.{name}", is_said) for name, is_said in members(node, lines))
        elif (name := assigned(node)) in public and name not in DESCRIBED_BY_THEIR_USE:
            yield f"{where}.{name}", is_explained(tree.body, position, lines)


DESCRIBED_BY_THEIR_USE = ("app", "__version__")
"""The command groups, which the options' test reads, and the version."""


def test_every_public_symbol_is_documented():
    check("public symbols", (each for path in sorted(PACKAGE.rglob("*.py")) for each in symbols(path)), 6000)


def described(where: str, schema: dict[str, Any]) -> Counted:
    for name, field in schema.get("properties", {}).items():
        yield f"{where}.{name}", bool(field.get("description"))
        yield from described(f"{where}.{name}", field)


def endpoints() -> Counted:
    document = openapi_document(OPERATIONS)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            yield where, bool(operation.get("summary"))
            for status, answer in operation["responses"].items():
                yield f"{where} {status}", bool(answer.get("description"))
                for name, header in answer.get("headers", {}).items():
                    yield f"{where} {status} {name}", bool(header.get("description"))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield from described(where, content["schema"])
    for name, schema in document["components"]["schemas"].items():
        yield name, bool(schema.get("description"))
        yield from described(name, schema)


def test_every_endpoint_answer_header_and_field_is_described():
    check("endpoints and their fields", endpoints(), 450)


def test_the_readme_takes_ten_minutes_without_its_recipes():
    chapters = re.split(r"^## ", (PACKAGE.parent / "README.md").read_text(), flags=re.MULTILINE)
    n_words = {chapter.partition("\n")[0]: len(chapter.split()) for chapter in chapters}
    recipes = n_words.pop("Recipes")
    print(f"README: {sum(n_words.values())} words, and recipes of {recipes}")  # noqa: T201 - the figure
    assert sum(n_words.values()) / WORDS_A_MINUTE <= 10


WORDS_A_MINUTE = 200
"""Read by people who look at tables and code on the way; prose alone is read at about 240 (Brysbaert 2019)."""


def commands(command: Any, where: str) -> Counted:
    yield where, bool(command.help)
    for option in command.params:
        if option.param_type_name == "option" and option.name != "help":
            yield f"{where} {option.opts[0]}", bool(option.help)
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{where} {name}")


def test_every_command_and_option_has_a_help_text():
    check("commands and options", commands(typer.main.get_command(app), "beast"), 200)
