"""A model's lines for ``mlflow.yaml``: shown, or written with every comment of the file left as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from beast_ml.durable import write_durably
from beast_ml.errors import SettingsError

if TYPE_CHECKING:
    from beast_ml.domain import Price
    from beast_ml.domain.endpoint import Endpoint

__all__ = ["lines_of", "settings_of_model", "write_settings"]

_WIDE: Final = 10_000
_NEW_LINE: Final = "\n"


def settings_of_model(name: str, price: Price | None, endpoint: Endpoint | None) -> dict[str, dict[str, Any]]:
    """Return the entry of ``endpoints``, and the one of ``candidates``, that a model needs."""
    found: dict[str, dict[str, Any]] = {}
    if endpoint is not None:
        fields = {key: getattr(endpoint, key) for key in ("name", "model", "base_url", "provider_model", "api_key_env")}
        found["endpoints"] = {key: value for key, value in fields.items() if value}
    if price is not None:
        found["candidates"] = {
            "name": name,
            "input_usd_per_mtok": price.input_usd_per_mtok,
            "output_usd_per_mtok": price.output_usd_per_mtok,
        }
    return found


def lines_of(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return entries as a person would write them."""
    return "\n".join(f"{section}:\n  - {_flow(entry)}" for section, entry in entries.items())


def write_settings(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Add an entry to each of these lists of a settings file.

    The rest of the file stays as it is, to the letter. What was written is read again before it replaces the file.

    Raises
    ------
    SettingsError
        If an entry of that name is there, or a list is written in a way that no line can be added to: then nothing is
        changed.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    wanted: dict[str, Any] = yaml.safe_load(text) or {}
    for section, entry in entries.items():
        there = wanted.get(section) or []
        if any(each.get("name") == entry["name"] for each in there):
            name = entry["name"]
            raise SettingsError(f"{path} names {name!r} under `{section}` already: make that\n  - {_flow(entry)}")
        wanted[section] = [dict(entry), *there]
        text = _with_line(text, section, f"- {_flow(entry)}\n")
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError:
        written = None
    if written != wanted:
        raise SettingsError(f"cannot add lines to {path} as it is written, so nothing was; add\n{lines_of(entries)}")
    write_durably(path, text.encode())


def _with_line(text: str, section: str, line: str) -> str:
    """Return a file with one more line right after the name of a section, as far indented as those that follow."""
    found = re.search(rf"^{section}:[ \t]*(?:\[[ \t]*\])?[ \t]*(#.*)?$", text, re.MULTILINE)
    if found is None:
        return f"{text}{'' if not text or text.endswith(_NEW_LINE) else _NEW_LINE}{section}:\n  {line}"
    rest = text[found.end() + 1 :]
    first = re.match(r"(?:[ \t]*(?:#.*)?\n)*([ \t]*)- ", rest)
    indent = "  " if first is None else first[1]
    return f"{text[: found.start()]}{section}:{f'  {found[1]}' if found[1] else ''}\n{indent}{line}{rest}"


def _flow(entry: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        dict(entry), default_flow_style=True, sort_keys=False, width=_WIDE, allow_unicode=True
    ).strip()
