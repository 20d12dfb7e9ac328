"""Build the semantic cache's trained part and register it as beast-cache: one MLflow run.

    python pipelines/build_cache.py --log data/logs --pairs pairs.parquet --out beast-out/cache
    python pipelines/build_cache.py --prompts answers.parquet --out beast-out/cache   # prompt, answer, model, ...
    python pipelines/build_cache.py --pairs pairs.parquet --out beast-out/cache --bundle BUNDLE  # tiny, and a router
    # bundle with the cache in it, at beast-out/cache-bundle: what pipelines/register.py registers

The same as `beast cache build`. From prompts (of a log store, or of a table whose answers are to be warmed) come the
vectors of what is asked most; from labelled pairs (text_a, text_b, is_duplicate) the bound of the static gate and the
verifier, without which no semantic hit is served. No text and no tenant is in the result (of labelled texts, single
words that two of them have), and no answer: answers live in the tiers, where `beast cache warm` puts them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.bundle.write import with_cache
from beast_ml.cache.training import CacheTraining
from beast_ml.errors import BeastError, InputError
from beast_ml.operations.cache_building import CacheData, build_cache
from beast_ml.registry.config import TrackingConfig
from beast_ml.settings import load_settings


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--log", type=Path, help="a log store")
    source.add_argument("--prompts", type=Path, help="Parquet with a column prompt")
    parser.add_argument("--pairs", type=Path, help="Parquet with text_a, text_b, is_duplicate")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the trained cache")
    parser.add_argument("--bundle", type=Path, help="router bundle to put it into, as OUT-bundle")
    parser.add_argument("--max-lost", type=float, default=CacheTraining.max_lost, help="share of true hits")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        tracking = TrackingConfig(**load_settings().tracking.model_dump())
        build = build_cache(
            CacheData(options.log or options.prompts, options.pairs),
            options.out,
            tracking=tracking,
            training=CacheTraining(max_lost=options.max_lost, seed=options.seed),
            progress=lambda what, done, total: print(f"{what}: {done} of {total}", file=sys.stderr),
        )
        if options.bundle:
            with_cache(options.bundle, options.out, options.out.with_name(f"{options.out.name}-bundle"))
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"registered {build.registered.uri} from {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
