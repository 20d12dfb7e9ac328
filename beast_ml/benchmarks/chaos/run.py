"""One run: a deployment under steady load, and one fault after another, in an order that a seed draws."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment, Services
from beast_ml.benchmarks.chaos.fault import Fault
from beast_ml.benchmarks.chaos.invariants import (
    crossed,
    overrun,
    shortened,
    unbooked,
    unlogged,
    unnamed,
    unnamed_throughout,
)
from beast_ml.benchmarks.chaos.registry_faults import champion
from beast_ml.benchmarks.chaos.suite import rounds
from beast_ml.benchmarks.chaos.traffic import TENANTS, AnswerFile, Reply, asks, write_asks
from beast_ml.benchmarks.chaos.window import FaultRow, Window, row_of
from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.errors import BeastError

__all__ = ["RECOVERY_S", "Chaos", "ChaosConfig", "ChaosResult"]

RECOVERY_S: Final = 30.0
"""Longest that recovering may take."""

_N_ASKS: Final = 30_000
_LONGEST_S: Final = 6 * 3600.0
_CONNECTIONS: Final = 256
_QUIET_S: Final = 3.0
_LOOK_S: Final = 0.2


@dataclass(frozen=True)
class ChaosConfig:
    """What to run.

    Parameters
    ----------
    faults
        To stage, each once a round.
    bundles
        The router that serves, and another one.
    prompts
        What is asked about.
    services
        What the deployment has.
    minutes
        Rounds begin until so many have passed; each is ended.
    broken_s
        From a fault to its mending.
    rate
        Requests a second.
    workers
        Of the server.
    seed
        Of the order, and of who is met.
    out
        Folder for the server's log of a run; None: none is kept.
    """

    faults: tuple[Fault, ...]
    bundles: tuple[Path, Path]
    prompts: tuple[str, ...]
    services: Services
    minutes: float = 0.0
    broken_s: float = 6.0
    rate: float = 20.0
    workers: int = 2
    seed: int = 0
    out: Path | None = None

    @classmethod
    def of_faults(
        cls, faults: Sequence[Fault], bundles: tuple[Path, Path], prompts: Sequence[str], **more: Any
    ) -> ChaosConfig:
        """Return what stages some faults, with the services that they need; ``more`` are other fields."""
        parts = {fault.part for fault in faults}
        services = Services(registry="registry" in parts, own_disk="disk" in parts, shifted_clock="clock" in parts)
        return cls(tuple(faults), bundles, tuple(prompts), services, **more)


@dataclass(frozen=True)
class ChaosResult:
    """What a run showed.

    Parameters
    ----------
    rows
        Of every fault that was staged.
    not_permitted
        Fault -> why it could not be staged here.
    totals
        Counts of the whole run.
    wrong
        Which invariants did not hold at the end, in words.
    seconds
        The run took.
    """

    rows: tuple[FaultRow, ...]
    not_permitted: Mapping[str, str]
    totals: Mapping[str, int]
    wrong: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every invariant held throughout."""
        return not self.wrong and not any(row.wrong for row in self.rows)


@dataclass
class Chaos:
    """Stages what a configuration asks for.

    Parameters
    ----------
    config
        What to run.
    say
        Called with what is being done.
    progress
        Called with (what, steps done, steps in all).
    """

    config: ChaosConfig
    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    _windows: list[Window] = field(default_factory=list)
    _not_permitted: dict[str, str] = field(default_factory=dict)

    def run(self) -> ChaosResult:
        """Run it.

        Raises
        ------
        UnavailableError, MissingExtraError
            If the deployment cannot be started.
        """
        began = time.monotonic()
        with _short_folder() as folder:
            deployment = Deployment(folder / "d", self.config.bundles, self.config.services, self.config.workers)
            try:
                with deployment:
                    return self._under_load(deployment, folder, began)
            finally:
                self._keep_logs(folder)

    def _under_load(self, deployment: Deployment, folder: Path, began: float) -> ChaosResult:
        config = self.config
        rng = np.random.default_rng(config.seed)
        asked = list(asks(config.prompts, _N_ASKS, rng))
        write_asks(folder / "bodies.jsonl", asked)
        if config.services.registry:
            self.say("registering the router that is served")
            champion(deployment)
        self.say("starting the server")
        deployment.start()
        plan = LoadPlan(
            port=deployment.port,
            path="/v1/chat/completions",
            bodies=str(folder / "bodies.jsonl"),
            repeat=True,
            rate=config.rate,
            connections=_CONNECTIONS,
            warm_s=0.0,
            measure_s=_LONGEST_S,
            wait_s=30.0,
            headers_in_turn=deployment.headers_in_turn(),
            seed=config.seed,
            answers=str(folder / "answers.jsonl"),
        )
        answers = AnswerFile(folder / "answers.jsonl", asked)
        with Driver(folder).start(plan) as running:
            running.wait_for("measuring")
            self._stage_rounds(deployment, answers, rng)
            running.stop_sending()
            running.result()
        answers.look()
        self.say("ending the server, and checking everything")
        deployment.stop_server()
        return self._result(deployment, answers, began)

    def _stage_rounds(self, deployment: Deployment, answers: AnswerFile, rng: np.random.Generator) -> None:
        faults = []
        for fault in self.config.faults:
            why_not = fault.forbids(deployment)
            if why_not is None:
                faults.append(fault)
            else:
                self._not_permitted[fault.name] = why_not
                self.say(f"not permitted here: {fault.name} ({why_not})")
        if not faults:
            return
        until = time.monotonic() + 60 * self.config.minutes
        for i, order in enumerate(rounds(faults, rng)):
            for j, fault in enumerate(order):
                self.progress(f"round {i + 1}: {fault.name}", j, len(order))
                self._await_quiet(deployment, answers)
                self._stage(fault, deployment, answers, rng)
            self.progress(f"round {i + 1}", len(order), len(order))
            if time.monotonic() >= until:
                return

    def _stage(self, fault: Fault, deployment: Deployment, answers: AnswerFile, rng: np.random.Generator) -> None:
        deployment.raise_tight_budget()
        answers.look()
        n_before, injected_at = len(answers.replies), time.monotonic()
        deployment.noted.clear()
        try:
            fault.inject(deployment, rng)
            if fault.mend is not None:
                if not fault.is_mended_at_once:
                    time.sleep(max(self.config.broken_s - (time.monotonic() - injected_at), 0.0))
                fault.mend(deployment)
        except BeastError as error:
            deployment.noted.append(f"could not be staged or mended: {error}")
        # What has to cope alone has no moment at which its cause is gone: it counts from the fault.
        mended_at = time.monotonic() if fault.mend is not None else injected_at
        is_quiet = self._await_quiet(deployment, answers)
        deployment.excused |= deployment.unsynced(answers.replies)
        replies = answers.replies[n_before:]
        wrong = [*deployment.noted, *self._check(deployment, replies, fault)]
        if not is_quiet:
            wrong.append(
                f"requests still failed {RECOVERY_S:g} s after the cause was gone; the server was started anew"
            )
            deployment.server.kill()
            deployment.start_server()
        ended_at = time.monotonic()
        self._windows.append(Window(fault.name, injected_at, mended_at, ended_at, tuple(shortened(wrong))))
        for what in shortened(wrong):
            self.say(f"warning: {fault.name}: {what}")

    def _await_quiet(self, deployment: Deployment, answers: AnswerFile) -> bool:
        """Return once nothing has failed for a few seconds; False when that takes too long.

        Every tenant must have had an answer by then that is not out of the cache, else some of them may still wait for
        what is broken; and every worker be there, so that the next fault finds what it asks for.
        """
        until, last_bad_at = time.monotonic() + RECOVERY_S + _QUIET_S, time.monotonic()
        served: set[str] = set()
        while (now := time.monotonic()) < until:
            for reply in answers.look():
                if not reply.is_as_wanted:
                    last_bad_at = max(last_bad_at, reply.answered.ended_at)
                    served.clear()
                elif reply.cache != "hit":
                    served.add(reply.ask.tenant)
            is_whole = len(deployment.server.workers()) >= deployment.n_workers
            if now - last_bad_at >= _QUIET_S and served.issuperset(TENANTS) and is_whole:
                return True
            time.sleep(_LOOK_S)
        return False

    def _check(self, deployment: Deployment, replies: Sequence[Reply], fault: Fault) -> list[str]:
        return [
            *unlogged(replies, deployment.logged(), deployment.excused),
            *crossed([*replies, *deployment.herds]),
            *overrun(deployment.accounts(), deployment.rules()),
            *unnamed(replies, fault.may),
            *fault.check(deployment, replies),
        ]

    def _result(self, deployment: Deployment, answers: AnswerFile, began: float) -> ChaosResult:
        replies = [*answers.replies, *deployment.herds]
        logged, accounts, bills = deployment.logged(), deployment.accounts(), deployment.bills()
        owners = {reply.call: reply.ask.tenant for reply in replies if reply.call is not None}
        wrong = [
            *shortened(unlogged(replies, logged, deployment.excused)),
            *shortened(crossed(replies)),
            *overrun(accounts, deployment.rules()),
            *unbooked(bills, deployment.prices_nano, owners, accounts),
            *shortened(unnamed_throughout(answers.replies, self._windows, {f.name: f.may for f in self.config.faults})),
        ]
        by_name: dict[str, list[Window]] = {}
        for window in self._windows:
            by_name.setdefault(window.name, []).append(window)
        order = [fault.name for fault in self.config.faults if fault.name in by_name]
        rows = tuple(row_of(by_name[name], answers.replies) for name in order)
        late = [f"{row.name}: recovered after {row.recovery_s:.1f} s" for row in rows if row.recovery_s > RECOVERY_S]
        answered = [reply for reply in replies if reply.is_answered]
        totals = {
            "requests": len(replies),
            "answered": len(answered),
            "cache_hits": sum(reply.cache == "hit" for reply in answered),
            "over_budget": sum(reply.is_as_wanted and not reply.is_answered for reply in replies),
            "failed": sum(not reply.is_as_wanted for reply in replies),
            "acknowledged_rows_checked": len(answered) - sum(r.request_id in deployment.excused for r in answered),
            "rows_damaged_or_not_on_the_disk_yet": len(deployment.excused),
            "calls_billed": len(bills),
            "settled_nano_usd": sum(each.settled for each in accounts),
            "lost_nano_usd": sum(each.lost for each in accounts),
            "billed_nano_usd": sum(bill.nano(deployment.prices_nano) for bill in bills),
        }
        return ChaosResult(rows, self._not_permitted, totals, (*wrong, *late), time.monotonic() - began)

    def _keep_logs(self, folder: Path) -> None:
        if self.config.out is None:
            return
        self.config.out.mkdir(parents=True, exist_ok=True)
        for log in (folder / "d").glob("*/*.log"):
            shutil.copy(log, self.config.out / log.name)
        if (folder / "answers.jsonl").is_file():
            shutil.copy(folder / "answers.jsonl", self.config.out / "answers.jsonl")


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for sockets; it goes with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix="beast-chaos-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
