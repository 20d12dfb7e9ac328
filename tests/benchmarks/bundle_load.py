"""What loading a bundle costs a fresh process: milliseconds and memory, up to the first decision.

    python tests/benchmarks/bundle_load.py BUNDLE           # a bundle folder of your own
    python tests/benchmarks/bundle_load.py                  # a made-up router with the static encoder and 30 models
    python tests/benchmarks/bundle_load.py --repeats 2      # tiny

Prints a table and one JSON object; ``cpu_ms`` is all the processor time of the process, which a busy machine does not
lengthen as it does the others. The goal is to load in less than 300 ms and 250 MB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from decision_time import make_bundle

CHILD = """
import json, resource, sys, time
started = time.perf_counter()
from beast_ml.serving.router import Router
imported = time.perf_counter()
router = Router.load(sys.argv[1])
loaded = time.perf_counter()
router.route("What is the integral of x squared?")
decided = time.perf_counter()
def field(name):
    with open("/proc/self/status") as status:
        return next((int(line.split()[1]) / 1024 for line in status if line.startswith(name)), None)
# VmHWM, since ru_maxrss of a child starts at what its parent had.
peak = field("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
cpu = time.process_time()
print(json.dumps({"cpu_ms": 1e3 * cpu, "import_ms": 1e3 * (imported - started), "load_ms": 1e3 * (loaded - imported),
    "first_decision_ms": 1e3 * (decided - loaded), "rss_mb": field("VmRSS") or peak, "peak_rss_mb": peak}))
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = options.bundle or make_bundle(Path(scratch) / "bundle")
        size_mb = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
        command = [sys.executable, "-c", CHILD, str(bundle)]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(options.repeats + 1)
        ][1:]
    result = {name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]}
    for name, value in result.items():
        sys.stdout.write(f"{name:18} {value:8.1f}\n")
    sys.stdout.write(
        json.dumps({**result, "bundle_mb": round(size_mb, 1), "repeats": options.repeats}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
