"""The figures of the part "pairs" as tables, for a terminal and for a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beast_ml.benchmarks.cache.replay_report import replay_sheets
from beast_ml.benchmarks.cache.sheet import Sheet

__all__ = ["sheets", "to_markdown"]

Figures = Mapping[str, Any]


def sheets(found: Figures) -> Iterator[Sheet]:
    """Yield the tables of a run."""
    sets: Figures = found["sets"]
    rows = [row for name, figures in sets.items() if "promise" in figures for row in _promises(name, figures)]
    if rows:
        yield Sheet(
            "The promise: splits whose false-hit rate is within epsilon",
            ("set", "method", "epsilon", "kept", "false-hit rate", "hit rate", "wrong among hits"),
            tuple(rows),
        )
    rows = [
        (
            name,
            f"{float(rate):.1%}",
            _share(at["verifier"]),
            _share(at["cosine"]),
            f"{at['vcache_pooled']:.1%}",
            _number(at["gain"]),
        )
        for name, figures in sets.items()
        if "hits_at_equal_rates" in figures
        for rate, at in figures["hits_at_equal_rates"].items()
    ]
    if rows:
        yield Sheet(
            "Hit rate at equal false-hit rate, thresholds chosen with the test labels",
            ("set", "false-hit rate", "verifier", "cosine = GPTCache", "vCache's rule, pooled", "verifier / cosine"),
            tuple(rows),
        )
    if "mock" in sets:
        yield _mock(sets["mock"])
    if "adversarial" in sets:
        figures = sets["adversarial"]
        yield Sheet(
            f"Adversarial pairs ({figures['pairs']}): AUC, learnt from the public sets",
            ("kind", "verifier", "cosine"),
            tuple(
                (kind, f"{auc['verifier']:.3f}", f"{auc['cosine']:.3f}")
                for kind, auc in {"all": figures["auc"], **figures["auc_by_kind"]}.items()
            ),
        )
    if "entries" in sets:
        figures = sets["entries"]
        yield Sheet(
            f"{figures['entries']} bank questions stored, {figures['requests']} asked: hits at equal false-hit rates",
            ("false-hit rate", "verifier", "cosine = GPTCache", "vCache's rule", "over cosine", "over vCache"),
            tuple(
                (
                    f"{float(rate):.1%}",
                    *(_share(at[name]) for name in ("verifier", "cosine", "vcache")),
                    *(_number(at["gain"][name]) for name in ("cosine", "vcache")),
                )
                for rate, at in figures["hits_at_equal_entries"].items()
            ),
        )
    if "replay" in sets:
        yield from replay_sheets(sets["replay"])


def _promises(name: str, figures: Figures) -> Iterator[tuple[str, ...]]:
    for method, by_epsilon in figures["promise"].items():
        for epsilon, at in by_epsilon.items():
            wrong = at["wrong_among_hits"]
            yield (
                name,
                method,
                f"{float(epsilon):.1%}",
                f"{at['kept']} of {at['splits']}",
                _share(at["false_hit_rate"], 2),
                _share(at["hit_rate"]),
                "-" if wrong is None else f"{wrong:.1%}",
            )


def _mock(figures: Figures) -> Sheet:
    rows: list[tuple[str, ...]] = [
        (f"GPTCache as published, threshold {at}", str(right), str(wrong), str(miss))
        for at, (right, wrong, miss) in figures["published_gptcache"].items()
    ]
    here = figures.get("gptcache_here") or {}
    rows += [
        (f"GPTCache on our embeddings, threshold {at}", *(str(count) for count in counts))
        for at, counts in here.items()
        if at != "default_threshold"
    ]
    n = figures["lookups"]
    for method, by_right in figures["wrong_with_at_least_right"].items():
        rows += [
            (f"{method}, at least {right} right", f">= {right}", str(wrong), "") for right, wrong in by_right.items()
        ]
    for method, by_wrong in figures["right_with_at_most_wrong"].items():
        rows += [
            (f"{method}, at most {wrong} wrong", str(right), f"<= {wrong}", f"{n - right - int(wrong)} or more")
            for wrong, right in by_wrong.items()
        ]
    return Sheet(f"GPTCache's mock set: {n} lookups", ("", "right", "wrong", "miss"), tuple(rows))


def to_markdown(found: Figures, command: str) -> str:
    """Return the report."""
    parts = ["# The cache: verifier and replays", f"`{command}`, {found['seconds']:.0f} s"]
    for sheet in sheets(found):
        lines = [f"## {sheet.title}", "", f"| {' | '.join(sheet.columns)} |", f"|{'---|' * len(sheet.columns)}"]
        lines += [f"| {' | '.join(row)} |" for row in sheet.rows]
        parts.append("\n".join(lines))
    if "replay" in found["sets"]:
        parts.append("![the ladder](ladder.png)")
    parts += [f"Left out: {name} ({why})" for name, why in found["left_out"].items()]
    return "\n\n".join(parts) + "\n"


def _share(figure: Mapping[str, float | None], digits: int = 1) -> str:
    if figure["value"] is None:
        return "-"
    value = f"{figure['value']:.{digits}%}"
    return value if figure["low"] is None else f"{value} [{figure['low']:.{digits}%}, {figure['high']:.{digits}%}]"


def _number(figure: Mapping[str, float | None]) -> str:
    if figure["value"] is None:
        return "-"
    value = f"{figure['value']:.2f}"
    return value if figure["low"] is None else f"{value} [{figure['low']:.2f}, {figure['high']:.2f}]"
