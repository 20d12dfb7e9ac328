"""`beast cache stats`: what the cache of a running server has done."""

from __future__ import annotations

from typing import Any, Final

from beast_ml.cli.output import JsonOption, print_json, print_table, stdout
from beast_ml.cli.server_calls import NEEDS_ADMIN_KEY, AdminKeyOption, UrlOption, call_server, own_admin_key

__all__ = ["cache_stats"]

_SHOWN: Final = 20


def cache_stats(
    url: UrlOption = None,
    key: AdminKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the cache of a running server has hit, left out, kept and saved, and who has what in its tiers."""
    found = call_server("GET", "/v1/cache/stats", url=url, key=key or own_admin_key(), needs=NEEDS_ADMIN_KEY)
    if as_json:
        print_json(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    rate = "" if found["hit_rate"] is None else f", {found['hit_rate']:.1%} hits"
    rows = [
        ("lookups", f"{found['lookups']}{rate}"),
        ("hits", _listed(found["hits"])),
        ("left out", _listed(found["bypasses"], found["bypassed"])),
        ("kept", _listed(found["kept"])),
        ("saved", f"{found['saved_usd']:.4g} USD, {found['saved_s']:.4g} s of waiting"),
    ]
    print_table("The cache since the server's start, all workers of its host", ("", ""), rows)
    if (semantic := found["semantic"]) is not None:
        _show_semantic(semantic, found["audits"])
    tiers = found["tiers"]
    print_table(
        "Tiers, the first one first",
        ("tier", "hits", "written", "waiting", "dropped", "failures", "state"),
        [
            (
                each["tier"],
                _listed(each["hits"]),
                *(each[name] for name in ("written", "waiting", "dropped", "failures")),
                "away" if each["away"] else "answers",
            )
            for each in tiers
        ],
    )
    usage = [(each["tier"], *who.values()) for each in tiers for who in (each["usage"] or ())[:_SHOWN]]
    if usage:
        print_table("Who has what", ("tier", "tenant", "entries", "bytes"), usage, caption=_caption(tiers))
    for each in tiers:
        if each["usage"] is None:
            stdout.print(f"What {each['tier']} holds cannot be told: it is away.", highlight=False)


def _show_semantic(semantic: dict[str, Any], audits: dict[str, int]) -> None:
    threshold = semantic["threshold"]
    rows = [
        ("entries", f"{semantic['entries']}, {semantic['waiting']} not found yet"),
        ("lookups", f"{semantic['lookups']}, {semantic['gated']} answered without the encoder"),
        ("threshold", "none: nothing may hit yet" if threshold is None else f"{threshold:.3f} of the verifier's score"),
        ("verified", f"{semantic['verified']} ({_listed(audits)}), {semantic['alarms']} alarms"),
        ("process", f"{semantic['memory_bytes'] / 1e6:.0f} MB, started in {semantic['start_s']:.2f} s"),
    ]
    print_table("Alike requests", ("", ""), rows)


def _caption(tiers: list[dict[str, Any]]) -> str:
    cut = any(len(each["usage"] or ()) > _SHOWN for each in tiers)
    more = f"; of each tier the {_SHOWN} who have most" if cut else ""
    return f"memory: of the one worker that answered{more}"


def _listed(counts: dict[str, int], total: int | None = None) -> str:
    listed = ", ".join(f"{name} {n}" for name, n in counts.items())
    if total is None:
        return listed or "none"
    return f"{total} ({listed})" if listed else f"{total}"
