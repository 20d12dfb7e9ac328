"""Write the report of the week, month, quarter or year that is over, and store it in MLflow: what a scheduler runs.

    python pipelines/report.py week                            # by mlflow.yaml: the seven days until yesterday
    python pipelines/report.py month --ending 2026-10-31       # a whole month
    python pipelines/report.py week --ending 2026-11-22 --log data/sample --no-judge   # tiny: no savings

The same as `beast report week`. Exit 0: written; 1: something is away; 2: the settings or the options are wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.cli.period_sources import named_period, period_sources, record_period
from beast_ml.errors import BeastError, InputError
from beast_ml.operations.periodic_report.files import write_report
from beast_ml.operations.periodic_report.period import PERIOD_KINDS
from beast_ml.operations.periodic_report.report import periodic_report
from beast_ml.settings import load_settings


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=PERIOD_KINDS)
    parser.add_argument("--ending", help="its last day (UTC); default: yesterday")
    parser.add_argument("--log", type=Path, help="a log store; default: logs.store in mlflow.yaml")
    parser.add_argument("--out", type=Path, help="default: beast-out/report-KIND-LAST_DAY")
    parser.add_argument("--no-judge", action="store_true", help="leave savings and choices out")
    options = parser.parse_args(arguments)
    try:
        settings, period = load_settings(), named_period(options.kind, options.ending)
        folder = options.out or Path("beast-out") / f"report-{period.kind}-{period.last}"
        sources = period_sources(
            settings, period, store=options.log, judge=not options.no_judge, progress=lambda *_: None
        )
        report = periodic_report(sources, period)
        write_report(report, folder)
        run = record_period(settings, report, folder)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"{report.costs.spending.sentence()} Written to {folder}, run {run}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
