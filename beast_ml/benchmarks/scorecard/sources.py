"""Where the scorecard's figures come from: each source is measured once, in a process of its own, and kept.

What an interrupted run measured is found again under the command and the version of the code.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from beast_ml.benchmarks.results import code_digest, result_key, write_json
from beast_ml.benchmarks.scorecard.drill import run_drill
from beast_ml.benchmarks.scorecard.log_readings import log_figures
from beast_ml.benchmarks.serving.payloads import base_prompts
from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle
from beast_ml.errors import BeastError, InputError, NotEnoughDataError
from beast_ml.logs.store import LogStore

__all__ = ["Plan", "Sources"]

_CLI: Final = ("-m", "beast_ml.cli")
_SWARM: Final = ("-m", "beast_ml.testing.budget_swarm")
_NANO_PER_WORKER: Final = 25_000
"""Of the budget that the swarm shares: two thirds of what a worker's requests ask for, so that the limit is reached."""

_TAIL: Final = 300


@dataclass(frozen=True)
class Plan:
    """What a scorecard is to be made of.

    Parameters
    ----------
    out
        Folder for all that is measured.
    data
        Folder of the public sets, or None.
    log
        Log store of a deployment; None: a drill of our own, with a fake provider, takes its place.
    baseline
        ``report.json`` of an earlier `beast bench serving`, or None.
    quick
        Whether a rough look will do.
    """

    out: Path
    data: Path | None = None
    log: Path | None = None
    baseline: Mapping[str, Any] | None = None
    quick: bool = False


@dataclass
class Sources:
    """Measures what is asked for, each source once.

    Parameters
    ----------
    plan
        What to make the scorecard of.
    say
        Called with what is being done.
    """

    plan: Plan
    say: Callable[[str], None] = lambda _: None
    _found: dict[str, Mapping[str, Any] | BeastError] = field(default_factory=dict)

    def report(self, name: str) -> Mapping[str, Any]:
        """Return what a source found.

        Raises
        ------
        BeastError
            If it cannot be measured here; the same error each time it is asked for.
        """
        if name not in self._found:
            try:
                self._found[name] = self._kept(name)
            except BeastError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, BeastError):
            raise found
        return found

    def command(self, name: str) -> str:
        """Return the command that measures a source again."""
        if name == "log" and self.plan.log is None:
            return "beast scorecard --only log"
        if name == "log":
            return shlex.join(["beast", "scorecard", "--only", "log", "--store", str(self.plan.log)])
        if name == "coverage":
            return "poe test"
        module, *rest = self._argv(name)[1:]
        return shlex.join(["beast", *rest] if module == _CLI[1] else ["python", "-m", module, *rest])

    def _kept(self, name: str) -> Mapping[str, Any]:
        if name == "log":
            return self._log()
        if name in ("coverage", "selection", "changes"):
            return self._run(name)  # what they read changes without the code, and takes no time
        key = result_key({"command": self._argv(name), "code": code_digest()})
        path = self.plan.out / "measured" / f"{name}-{key}.json"
        if not path.is_file():
            write_json(path, dict(self._run(name)))
        return dict(json.loads(path.read_bytes()))

    def _log(self) -> Mapping[str, Any]:
        if self.plan.log is not None:
            return log_figures(LogStore(self.plan.log))
        seconds = 30.0 if self.plan.quick else 180.0
        self.say(f"log: a drill with a fake provider, {seconds:.0f} seconds")
        bundle, prompts = quickstart_bundle(self.plan.out), base_prompts(self.plan.data)
        return log_figures(run_drill(bundle, prompts, self.plan.out / "drill", seconds), of_drill=True)

    def _run(self, name: str) -> Mapping[str, Any]:
        self.say(f"{name}: {self.command(name)}")
        if name == "budgets":
            shutil.rmtree(self.plan.out / "swarm", ignore_errors=True)  # of another version of the code
        began_s = time.monotonic()
        done = _ended([sys.executable, *self._argv(name)])
        self.say(f"{name}: took {(time.monotonic() - began_s) / 60:.1f} minutes")
        if done.returncode and name == "coverage":
            raise NotEnoughDataError(
                "no run of the tests is on record here: run `poe test` in the project's folder first"
            )
        if done.returncode:
            told = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])[-_TAIL:]
            raise NotEnoughDataError(f"`{self.command(name)}` ended with {done.returncode}: {told}")
        found = json.loads(done.stdout)
        if found is None or found == []:
            raise NotEnoughDataError(f"`{self.command(name)}` has nothing to tell yet")
        return dict(found) if isinstance(found, dict) else {"changes" if name == "changes" else "value": found}

    def _argv(self, name: str) -> Sequence[str]:
        quick = ("--quick",) if self.plan.quick else ()
        data = () if self.plan.data is None else ("--data", str(self.plan.data))
        bench = {
            "serving": ("serving", "--parts", "capacity,gateway,faults"),
            "routing": ("routing", "--sets", "quickstart,mmlu,mmlu_pro,routerbench3"),
            "kinds": ("routing", "--parts", "kinds"),
            "cache": ("cache", "--sets", "replay"),
            "context": ("learning", "--parts", "savings"),
            "tuning": ("learning", "--parts", "tuning"),
        }
        if name in bench:
            out = ("--out", str(self.plan.out / name))
            parts = ("--parts", "savings,calibration,cost") if name == "routing" else ()
            return (*_CLI, "bench", *bench[name], *parts, *data, *out, *quick, "--json")
        if name == "budgets":
            workers, kills = (16, 8) if self.plan.quick else (64, 40)
            size = ("--workers", str(workers), "--kills", str(kills), "--limit", str(workers * _NANO_PER_WORKER))
            return (*_SWARM, str(self.plan.out / "swarm"), *size)
        if name == "selection":
            store = () if self.plan.log is None else ("--store", str(self.plan.log))
            return (*_CLI, "report", "selection", *store, "--json")
        if name == "changes":
            return (*_CLI, "learn", "changes", "--json")
        if name == "coverage":
            return ("-m", "coverage", "report", "--format=total")
        raise InputError(f"no source is called {name!r}")


def _ended(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Return how a command ended; whoever interrupts us ends it too, in time to stop the servers that it started."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            out, error = child.communicate()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    return subprocess.CompletedProcess(argv, child.returncode, out, error)
