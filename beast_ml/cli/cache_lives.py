"""`beast cache lives`: how long answers stay right, by kind of request, learnt from those that were made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, stdout

__all__ = ["learn_lives"]

_HOUR_S = 3_600.0


def learn_lives(
    out: Annotated[Path, typer.Option(help="File for the lives, to be named in `cache.lifetimes`.")] = Path(
        "cache-lives.json"
    ),
    stale_share: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Probability of being out of date that an answer may reach.")
    ] = 0.05,
    state: Annotated[
        list[Path] | None, typer.Option(help="A host's state folder, repeated for several; default: serving.state.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn lives from answers that were made anew (`cache.age_share`), and from guesses where there are few.

    Kinds without observations borrow from the others.
    """
    import msgspec

    from beast_ml.cache.lifetimes import fit_lifetimes
    from beast_ml.durable import write_durably
    from beast_ml.serving.answer_cache.freshness import read_ages
    from beast_ml.settings import load_settings

    folders = state or [load_settings().serving.state]
    seen = [age for folder in folders for age in read_ages(folder)]
    lives = fit_lifetimes(seen, stale_share)
    write_durably(out, msgspec.json.format(msgspec.json.encode(lives)) + b"\n")
    if as_json:
        print_json({"observations": len(seen), "lives": msgspec.to_builtins(lives), "out": str(out)})
        return
    print_table(
        f"Lives at whose end {stale_share:.1%} of answers are out of date, from {len(seen)} that were looked at again",
        ("kind", "looked at", "changes a day [95%]", "life, hours"),
        [
            (
                kind,
                each.n,
                f"{each.hazard_per_day:.2g} [{each.low:.2g}, {each.high:.2g}]",
                f"{lives.ttl_s(kind) / _HOUR_S:.1f}",
            )
            for kind, each in sorted(lives.kinds.items(), key=lambda item: item[1].ttl_s)
        ],
        caption="Kinds that nothing is known of are guessed." if not all(e.n for e in lives.kinds.values()) else None,
    )
    stdout.print(f"wrote {out}; next: name it in cache.lifetimes, and restart", highlight=False, markup=False)
