"""The replays as tables and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from beast_ml.benchmarks.cache.sheet import Sheet

__all__ = ["draw_ladder", "replay_sheets"]

Figures = Mapping[str, Any]

_LINES: Final = (
    ("hit_rate", "all requests", "#8a8f98"),
    ("common_served_rate", "common requests", "#30638e"),
    ("known_served_rate", "known canonical forms", "#0b6e4f"),
)
_FALSE: Final = "#d1495b"


def replay_sheets(found: Figures) -> Iterator[Sheet]:
    """Yield the tables of the part "replay"."""
    for name, figures in found["settings"].items():
        ladder: Figures = figures["ladder"]
        last = ladder["tiers"]
        yield Sheet(
            f"Replay, {name}: {figures['requests']:,} requests ({figures['source']}); counted on the second half. "
            f"Common {last['common_share']:.0%}, known {last['known_share']:.0%}, never asked before "
            f"{last['new_share']:.0%}, answer's life over {last['first_share']:.0%}, bypassed "
            f"{figures['bypass_share']:.1%}",
            ("rung", "hits", "right hits", "of common (right)", "of known (right)", "false", "stale"),
            tuple((rung, *_rates(each)) for rung, each in ladder.items()),
        )
        yield Sheet(
            f"What it saves, and where hits come from, {name}",
            ("rung", "USD saved", "hours saved", "USD of warming", "L1 / L3", "exact / normalised / semantic"),
            tuple((rung, *_savings(each)) for rung, each in ladder.items()),
        )
        tuning: Figures = figures["tuning"]
        chosen = ", ".join(f"{key} {value:.4g}" for key, value in sorted(tuning["chosen"].items()))
        yield Sheet(
            f"Tuning, {name}: {tuning['trials']} trials on the first half, judged on the second, one worker",
            ("", "worth USD", "memory GB h"),
            (
                ("baseline", *(f"{tuning[key]['baseline']:.4g}" for key in ("worth_usd", "memory_gb_h"))),
                (
                    f"tuned: {chosen or 'the baseline'}",
                    *(f"{tuning[key]['tuned']:.4g}" for key in ("worth_usd", "memory_gb_h")),
                ),
            ),
        )
        yield Sheet(
            f"Learned lives against one fixed life, {name}, plain cache",
            ("fixed life", "hit rate fixed", "hit rate learned", "stale fixed", "stale learned"),
            tuple(
                (
                    life,
                    f"{each['hit_rate_fixed']:.1%}",
                    f"{each['hit_rate_learned']:.1%}",
                    str(each["stale_fixed"]),
                    str(each["stale_learned"]),
                )
                for life, each in figures["lives"].items()
            ),
        )


def draw_ladder(found: Figures, path: Path) -> None:
    """Draw hit rates and false-hit rates by rung, a panel for each setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Figures = found["settings"]
    figure = Figure(figsize=(5.6 * len(settings), 4.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, figures) in enumerate(settings.items(), start=1):
        axes = figure.add_subplot(1, len(settings), place)
        ladder: Figures = figures["ladder"]
        rungs = list(ladder)
        for key, label, colour in _LINES:
            axes.plot(rungs, [ladder[rung][key] for rung in rungs], "o-", color=colour, label=label)
        axes.bar(rungs, [ladder[rung]["false_hit_rate"] for rung in rungs], color=_FALSE, label="false / all requests")
        for rung in rungs:
            rate = ladder[rung]["false_hit_rate"]
            axes.annotate(f"{rate:.1%}", (rung, rate), xytext=(-7, 3), textcoords="offset points", fontsize=7)
        axes.axhline(0.99, color="#444444", lw=0.8, ls="--")
        axes.set_ylim(0.0, 1.05)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_title(f"{name}: hit rate by feature; dashed: 99%", fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _rates(rates: Figures) -> tuple[str, ...]:
    return (
        f"{rates['hit_rate']:.1%}",
        f"{rates['right_hit_rate']:.1%}",
        f"{rates['common_served_rate']:.1%} ({rates['common_hit_rate']:.1%})",
        f"{rates['known_served_rate']:.1%} ({rates['known_hit_rate']:.1%})",
        f"{rates['false_hit_rate']:.2%}",
        f"{rates['stale_rate']:.2%}",
    )


def _savings(rates: Figures) -> tuple[str, ...]:
    hows, tiers = rates["hits"], rates["tiers"]
    return (
        f"{rates['saved_usd']:.2f} ({rates['saved_share']:.0%})",
        f"{rates['saved_s'] / 3_600:.1f}",
        f"{rates['warmed_usd']:.2f}",
        " / ".join(f"{tiers.get(tier, 0.0):.0%}" for tier in ("memory", "sql")),
        " / ".join(f"{hows.get(how, 0.0):.0%}" for how in ("exact", "normalised", "semantic")),
    )
