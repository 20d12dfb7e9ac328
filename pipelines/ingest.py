"""Add routed-request logs to the store that mlflow.yaml names, say what they are good for, and record one MLflow run.

    python pipelines/ingest.py LOG.jsonl [MORE ...]        # one new JSON document on standard output
    python pipelines/ingest.py s3://exports/2026-11.jsonl  # fetched first; the store itself is on a disk
    python pipelines/ingest.py data/sample/requests.jsonl  # tiny: the made-up log in the repository

Bad rows go to the quarantine folder. Running it again with the same files adds nothing, so a schedule may simply name
the whole folder of exports each night; the runs then show how the log grows and what looks wrong in it.
"""

from __future__ import annotations

import argparse
import json
import sys

from beast_ml.domain import SystemClock
from beast_ml.errors import BeastError, InputError
from beast_ml.logs.ingest import IngestSummary, ingest
from beast_ml.logs.quality_report import LogQuality, log_quality
from beast_ml.logs.store import LogStore
from beast_ml.places import place
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import training_run
from beast_ml.settings import load_settings


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=place, nargs="+")
    parser.add_argument("--source", default="auto")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        tracking = TrackingConfig(**settings.tracking.model_dump())
        store = LogStore(settings.logs.store)
        summary = ingest(options.logs, store, settings.logs.quarantine, options.source)
        report = log_quality(store, SystemClock(), summary.quarantined)
        document = json.dumps({"ingest": summary.to_dict(), "store": report.to_dict()}, indent=2)
        _record(tracking, store, summary, report, document)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(document)
    return 0


def _record(
    tracking: TrackingConfig, store: LogStore, summary: IngestSummary, report: LogQuality, document: str
) -> None:
    found = "\n".join(f"- {sentence}" for sentence in report.suspicions) or "Nothing looks wrong."
    about = f"{summary.n_accepted:,} new requests, {report.n_requests:,} in the store.\n\n{found}"
    with training_run(tracking, "ingest", about, {"kind of run": "ingest"}) as run:
        run.params({"store": store.path, "files": len(summary.files)})
        counts = {name: getattr(summary, name) for name in ("n_read", "n_accepted", "n_duplicates", "n_quarantined")}
        run.metrics({f"ingest/{name}": float(n) for name, n in counts.items()})
        figures = {
            "requests": report.n_requests,
            "answered": report.n_answered,
            "feedback_coverage": report.feedback_coverage,
            "effective_sample_size": report.propensity.effective_sample_size,
            "suspicions": len(report.suspicions),
        }
        run.metrics({f"store/{name}": float(value) for name, value in figures.items() if value is not None})
        run.text(document, "ingest.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
