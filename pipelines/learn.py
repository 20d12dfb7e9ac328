"""Let the learning loop go on from where it stands: what a scheduler runs every hour.

    python pipelines/learn.py                      # by mlflow.yaml: its log store, registry and experiments
    python pipelines/learn.py --log data/logs      # another log store

The same as `beast learn once`. It may be killed at any moment; the next run goes on. Exit 0: it waits, or a cycle has
ended; 1: something is away, such as the registry; 2: the settings or the state are wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.cli.live_loop import live_loop, loop_state
from beast_ml.errors import BeastError, InputError
from beast_ml.operations.learning_loop.run import learn_once
from beast_ml.settings import load_settings


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="a log store; default: logs.store in mlflow.yaml")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        around = live_loop(settings, options.log)
        report = learn_once(loop_state(settings), around, around.config)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    for state in report.transitions:
        print(f"{state.step}: {state.reason}")
    print(f"waiting: {report.waiting}" if report.waiting else f"cycle {report.state.cycle - 1} ended")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
