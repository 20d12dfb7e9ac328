"""Add routed-request logs to the store that mlflow.yaml names, and say what they are good for.

    python pipelines/ingest.py LOG.jsonl [MORE ...]        # one new JSON document on standard output
    python pipelines/ingest.py data/sample/requests.jsonl  # tiny: the made-up log in the repository

Bad rows go to the quarantine folder. Running it again with the same files adds nothing, so a schedule may simply name
the whole folder of exports each night.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from beast_ml.domain import SystemClock
from beast_ml.errors import BeastError
from beast_ml.logs.ingest import ingest
from beast_ml.logs.quality_report import log_quality
from beast_ml.logs.store import LogStore
from beast_ml.settings import load_settings


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--source", default="auto")
    options = parser.parse_args(arguments)
    settings = load_settings().logs
    store = LogStore(settings.store)
    try:
        summary = ingest(options.logs, store, settings.quarantine, options.source)
        report = log_quality(store, SystemClock(), summary.quarantined)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"ingest": summary.to_dict(), "store": report.to_dict()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
