"""`beast cache build`: from what was asked to a registered cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout

__all__ = ["build"]


def build(
    out: Annotated[Path, typer.Option(help="New folder for the trained cache.")],
    log: Annotated[Path | None, typer.Option(help="Log store whose most frequent prompts come along.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Parquet with a column prompt, instead of a log.")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Labelled pairs (text_a, text_b, is_duplicate) to learn from.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Router bundle to put it into, as OUT-bundle.")] = None,
    max_lost: Annotated[float, typer.Option(min=1e-4, max=0.5, help="True hits that the static gate may lose.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train what the semantic cache needs and register it in MLflow, with its curves.

    That is MiniLM as ONNX, vectors of what is asked most, and from labelled pairs (20,000 of them at most, drawn) the
    bound of the static gate and the verifier, without which no semantic hit is served. Embedding takes about 4 ms a
    text.
    """
    from beast_ml.bundle.write import with_cache
    from beast_ml.cache.training import CacheTraining
    from beast_ml.errors import InputError
    from beast_ml.operations.cache_building import CacheData, build_cache
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    if log is not None and prompts is not None:
        raise InputError("give --log or --prompts, not both")
    tracking = TrackingConfig(**load_settings().tracking.model_dump())
    with progress_bar() as progress:
        made = build_cache(
            CacheData(log or prompts, pairs),
            out,
            tracking=tracking,
            training=CacheTraining(max_lost=max_lost, seed=seed),
            progress=Bars(progress).advance,
        )
    bundled = None
    if bundle is not None:
        bundled = out.with_name(f"{out.name}-bundle")
        with_cache(bundle, out, bundled)
    manifest, registered = made.manifest, made.registered
    if manifest.verifier_hash is None:
        say("warning: no verifier, so no semantic hit will be served: give --pairs with 20 of either kind at least")
    if as_json:
        print_json(
            {
                "version": registered.version,
                "uri": registered.uri,
                "run_id": made.run_id,
                "cache": manifest.digest,
                "verifier": manifest.verifier_hash,
                "folder": str(out),
                "bundle": None if bundled is None else str(bundled),
                "headline": manifest.headline,
            }
        )
        return
    rows = [(name, f"{value:.4g}") for name, value in sorted(manifest.headline.items())]
    print_table("trained cache", ("figure", "value"), rows)
    stdout.print(f"registered {registered.uri} from {out}", highlight=False, markup=False)
    if bundled is not None:
        stdout.print(f"wrote {bundled}; next: pipelines/register.py", highlight=False, markup=False)
