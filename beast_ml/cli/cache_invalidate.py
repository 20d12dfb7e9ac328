"""`beast cache invalidate`: a tenant's answers that a running server is not to serve any more."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from beast_ml.cli.output import JsonOption, print_json, stdout
from beast_ml.cli.server_calls import UrlOption, call_server
from beast_ml.errors import InputError

__all__ = ["cache_invalidate"]

_NEEDS: Final = "a key of the tenant whose answers they are, in BEAST_API_KEY or --key (`beast keys create` makes one)"


def cache_invalidate(
    entry: Annotated[list[str] | None, typer.Option(help="An entry, as x-beast-cache-entry names it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="All entries stored with this tag.")] = None,
    document: Annotated[list[str] | None, typer.Option(help="All made from this document.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="All that this model has answered.")] = None,
    policy_version: Annotated[list[str] | None, typer.Option(help="All that this version of a policy decided.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All of the tenant's answers; asks first.")] = False,
    false_hit: Annotated[
        str | None, typer.Option(metavar="ENTRY", help="An entry that was wrong for --prompt: never again.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What was asked, word for word, when --false-hit came.")] = None,
    near: Annotated[
        str | None,
        typer.Option(metavar="PROMPT", help="All answers to a prompt and to the nearest 1,000 within --radius."),
    ] = None,
    radius: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Cosine distance of --near: .1 other wordings, .5 the subject.")
    ] = 0.1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --everything.")] = False,
    url: UrlOption = None,
    key: Annotated[
        str | None, typer.Option(envvar="BEAST_API_KEY", help="A key of the tenant; a server without keys needs none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Have a running server, and all that share its tiers, never again serve what is named: options may be repeated."""
    if (false_hit is None) != (prompt is None):
        raise InputError("--false-hit and --prompt belong together: what was served, and what it was wrong for")
    scopes: dict[str, Any] = {
        "entry_ids": entry or [],
        "tags": tag or [],
        "documents": document or [],
        "models": model or [],
        "policy_versions": policy_version or [],
        "everything": everything,
    }
    named = {name: value for name, value in scopes.items() if value}
    if false_hit is not None:
        asked = {"model": "beast", "messages": [{"role": "user", "content": prompt}]}
        named["false_hit"] = {"entry_id": false_hit, "chat": asked}
    if near is not None:
        asked = {"model": "beast", "messages": [{"role": "user", "content": near}]}
        named["near"] = {"chat": asked, "radius": radius}
    if not named:
        raise InputError(
            "nothing to invalidate: give --entry, --tag, --document, --model, --policy-version, --everything, "
            "--false-hit or --near"
        )
    if everything and not yes:
        typer.confirm("All answers that the cache has of this tenant will be made anew. Go on?", abort=True, err=True)
    told = call_server("POST", "/v1/cache/invalidate", named, url=url, key=key, needs=_NEEDS)
    if as_json:
        print_json({"invalidated": named, "none_alike": False, "more_near": False} | told)
        return
    for line in _told(named, told):
        stdout.print(line, highlight=False, markup=False)


def _told(named: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """Return what was invalidated, in words."""
    words = {
        "entry_ids": "entry",
        "tags": "all with the tag",
        "documents": "all from the document",
        "models": "all that was answered by",
        "policy_versions": "all that was decided by policy version",
    }
    lines = [f"not served any more: {words[name]} {value}" for name in words for value in named.get(name, ())]
    if named.get("everything"):
        lines.append("not served any more: all answers of this tenant made until now")
    if told.get("none_alike"):
        entry = named["false_hit"]["entry_id"]
        lines.append(f"entry {entry} is not known any more: this prompt gets no answer to another one again")
    elif "false_hit" in named:
        lines.append(f"never served to this prompt again: entry {named['false_hit']['entry_id']}")
    if "near" in named:
        lines.append(f"not served any more: answers to requests within {named['near']['radius']:g} of that prompt")
    if told.get("more_near"):
        lines.append("more than 1,000 are near: the others are served to equal requests until they expire")
    return lines
