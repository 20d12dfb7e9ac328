"""What is to be forgotten in files of JSON lines: sealed segments, and quarantined rows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.logs.forgotten import Whose
from beast_ml.logs.segments import sync_folder

__all__ = [
    "Edit",
    "edit_lines",
    "forget_late",
    "forget_quarantined",
    "forget_request",
    "meant_request",
    "sweep_hidden",
    "whole_lines",
]

Edit = Callable[[bytes], bytes | None]
"""Returns what becomes of a line; None: it goes."""

_HIDDEN: Final = ".forgetting-"
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_TIMES: Final = ("received_at", "startTime", "start_time", "created_at", "created")


def whole_lines(content: bytes) -> Iterator[bytes]:
    """Yield the lines, without their ends; what comes after the last end is a line, too."""
    yield from (line for line in content.split(b"\n") if line)


def meant_request(line: bytes, whose: Whose) -> str | None:
    """Return the id of a request that is to be forgotten, as a segment holds it; None for any other line."""
    row = _decoded(line)
    if not isinstance(row, dict) or row.get("table") != "requests":
        return None
    tenant, user = row.get("tenant_id"), row.get("user_id")
    meant = isinstance(tenant, str) and whose.is_tenant(tenant) and whose.is_user(user) and _is_before(row, whose)
    return str(row.get("request_id")) if meant else None


def forget_request(line: bytes, whose: Whose) -> bytes | None:
    """Return what is left of a segment's line.

    Of what cannot be read it is not known whose it is: it goes where it names the tenant.
    """
    if meant_request(line, whose) is None:
        return None if not isinstance(_decoded(line), dict) and _may_be_of(line, whose) else line
    if not whose.prompts_only:
        return None
    row = _decoded(line)
    context = row.get("context") or {}
    if row.get("prompt") is None and "prompt_hash" not in context:
        return line
    kept = {name: value for name, value in row.items() if name != "prompt"}
    if "prompt_hash" in context:
        kept["context"] = {name: value for name, value in context.items() if name != "prompt_hash"}
    return msgspec.json.encode(kept)


def forget_late(line: bytes, gone: set[str]) -> bytes | None:
    """Return a segment's line, or None where it says what became of a request that goes."""
    row = _decoded(line)
    late = isinstance(row, dict) and row.get("table") != "requests" and row.get("request_id") in gone
    return None if late else line


def forget_quarantined(line: bytes, whose: Whose) -> bytes | None:
    """Return a quarantined row, or None where it is to go: whole, for what is text in it cannot be told.

    Rows of other routers' logs name their tenants in fields of other names: any of its values counts.
    """
    rejected = _decoded(line)
    raw = rejected.get("raw") if isinstance(rejected, dict) else None
    if not isinstance(raw, dict):
        return None if _may_be_of(line, whose) else line
    values = set(_strings(raw))
    meant = any(map(whose.is_tenant, values)) and (whose.is_user(None) or any(map(whose.is_user, values)))
    return None if meant and _is_before(raw, whose) else line


def edit_lines(file: Path, edit: Edit, *, dry_run: bool) -> tuple[int, int]:
    """Change a file line by line, whole or not at all; return how many lines went and how many changed."""
    lines = list(whole_lines(file.read_bytes()))
    edited = [edit(line) for line in lines]
    n_gone = sum(after is None for after in edited)
    n_changed = sum(after is not None and after != before for before, after in zip(lines, edited, strict=True))
    if (n_gone or n_changed) and not dry_run:
        kept = [line for line in edited if line is not None]
        if kept:
            _replace(file, b"\n".join(kept) + b"\n")
        else:
            file.unlink()
            sync_folder(file.parent)
    return n_gone, n_changed


def sweep_hidden(folder: Path) -> None:
    """Remove what a killed `edit_lines` has left in a folder; nobody else may be at work in it."""
    for left in folder.glob(f"{_HIDDEN}*"):
        left.unlink(missing_ok=True)


def _replace(file: Path, content: bytes) -> None:
    hidden = file.with_name(f"{_HIDDEN}{file.name}")
    mode = file.stat().st_mode & 0o777
    fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    hidden.replace(file)
    sync_folder(file.parent)


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _may_be_of(line: bytes, whose: Whose) -> bool:
    # Quarantined text is quoted within a quoted string: what ends a name may be escaped.
    pieces = {piece.strip(b"\\") for found in _QUOTED.findall(line) for piece in re.split(rb'\\"|"', found)}
    names = {piece.decode("utf-8", "replace") for piece in pieces}
    return any(map(whose.is_tenant, names)) and (whose.is_user(None) or any(map(whose.is_user, names)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _is_before(row: dict[str, Any], whose: Whose) -> bool:
    """Whether a row was received before the time; one that does not say when was."""
    for name in _TIMES:
        value = row.get(name)
        if isinstance(value, str):
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                continue
            return (at if at.tzinfo else at.replace(tzinfo=UTC)) < whose.before
    return True
