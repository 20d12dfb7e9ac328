"""Bring a router bundle that was trained elsewhere into the registry that mlflow.yaml names: one MLflow run.

    python pipelines/register.py BUNDLE --evidence evidence.json --name my-data
    python pipelines/register.py beast-out/trained/bundle --evidence beast-out/trained/evidence.json  # tiny, after
    # python pipelines/train.py --encoder hashing --out beast-out/trained

Every training run keeps evidence.json among its artifacts, and pipelines/train.py --out writes it beside the bundle.
The bundle is verified file by file, and evidence of another training is refused. `beast promote` judges it as any
other version: bringing a router in does not make it serve.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.errors import BeastError, InputError
from beast_ml.operations.bundle_registration import read_evidence, register_bundle
from beast_ml.registry.config import TrackingConfig
from beast_ml.settings import load_settings


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of the bundle")
    parser.add_argument("--evidence", type=Path, required=True, help="what its training measured")
    parser.add_argument("--name", default="bundle", help="what its training data are called")
    options = parser.parse_args(arguments)
    try:
        tracking = TrackingConfig(**load_settings().tracking.model_dump())
        evidence = read_evidence(options.evidence)
        result = register_bundle(options.bundle, evidence, tracking=tracking, name=options.name)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    parts = ", ".join(f"{name} {version}" for name, version in sorted(result.registered.parts.items()))
    print(f"registered {result.registered.uri} ({parts}) from {options.bundle}; next: beast promote")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
