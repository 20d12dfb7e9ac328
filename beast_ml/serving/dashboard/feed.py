"""What the dashboard knows, kept up to date: rows as they are logged, servers as they answer, the loop's state."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.domain import Price
from beast_ml.errors import BeastError
from beast_ml.events import events
from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
from beast_ml.operations.learning_loop.state_file import StateFile
from beast_ml.serving.dashboard.drill import requests_behind
from beast_ml.serving.dashboard.log_lines import decode_lines
from beast_ml.serving.dashboard.metric_traffic import metric_totals, metric_traffic
from beast_ml.serving.dashboard.notices import notices
from beast_ml.serving.dashboard.operations_now import operations_now
from beast_ml.serving.dashboard.report_runs import ReportRun
from beast_ml.serving.dashboard.request_table import RequestTable
from beast_ml.serving.dashboard.segment_tail import SegmentTail
from beast_ml.serving.dashboard.server_watch import ServerWatch
from beast_ml.serving.dashboard.store_tail import StoreTail
from beast_ml.serving.dashboard.traffic import RANGES, Filters, totals, traffic

__all__ = ["DashboardConfig", "Feed"]

_STORE_S: Final = 2.0
_FINISHED: Final = 5


@dataclass(frozen=True)
class DashboardConfig:
    """What a dashboard reads.

    Parameters
    ----------
    servers
        Addresses that are scraped.
    states
        State folders of servers whose segments and experiments can be read from here.
    store
        The log store.
    loop
        State file of the learning loop.
    prices
        Of the models, for what they would have cost.
    admin_key
        Of the servers, and of this dashboard where it is needed.
    needs_key
        Whether the page is for the operator alone, whatever servers say.
    reports
        Commands of `beast` by what they tell: ``drift``, ``selection``.
    report_every_s
        Seconds between their runs.
    most_rows
        Requests kept in memory.
    scrape_s, tail_s
        Seconds between looks at servers, and at segments.
    """

    servers: tuple[str, ...]
    states: tuple[Path, ...]
    store: Path
    loop: Path
    prices: Mapping[str, Price] = field(default_factory=dict)
    admin_key: str | None = field(default=None, repr=False)
    needs_key: bool = False
    reports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    report_every_s: float = 900.0
    most_rows: int = 200_000
    scrape_s: float = 0.5
    tail_s: float = 0.05


class Feed:
    """Reads everything, in tasks of one event loop; views are computed in threads.

    Parameters
    ----------
    config
        What to read.
    """

    def __init__(self, config: DashboardConfig) -> None:
        self.config = config
        since_s = time.time() - max(RANGES.values())
        self.table = RequestTable(config.most_rows)
        self.servers = [ServerWatch(url, config.admin_key) for url in config.servers]
        self._tails = [SegmentTail(state / "segments", since_s) for state in config.states]
        self._store = StoreTail(config.store, config.most_rows)
        self._reports = {name: ReportRun(told, config.report_every_s) for name, told in config.reports.items()}
        self._store_problem: str | None = None
        self.n_bad = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self.versions = {"log": 0, "metrics": 0}
        """Grow with every change of what is known, by source."""
        self._used_s, self._looked_s = _cpu_s(), time.monotonic()
        self._cpu_share = 0.0

    @property
    def needs_key(self) -> bool:
        """Whether only the operator may look: a server says so, or the page can be reached from elsewhere."""
        return self.config.needs_key or any(watch.wants_key for watch in self.servers)

    async def start(self) -> None:
        """Begin to read: the store first, so that what is tailed finds its place."""
        await self._read_store()
        self._tasks = [
            asyncio.create_task(each, name=name)
            for name, each in (
                ("segments", self._follow_segments()),
                ("store", self._follow_store()),
                *((watch.url, self._follow_server(watch)) for watch in self.servers),
                *((name, report.run_for_ever()) for name, report in self._reports.items()),
            )
        ]

    async def stop(self) -> None:
        """End all reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for watch in self.servers:
            await watch.close()

    async def change(self, source: str, seen: int, within_s: float) -> None:
        """Wait until a source has news that were not seen, or some time has passed."""
        try:
            async with asyncio.timeout(within_s):
                while self.versions[source] == seen:
                    await self._changed.wait()
        except TimeoutError:
            return

    def totals(self, filters: Filters) -> dict[str, Any]:
        """Return the figures of a window that must be quick."""
        now_s = time.time()
        if filters.source == "metrics":
            return metric_totals([watch.history for watch in self.servers], filters, now_s)
        return totals(self.table, filters, now_s)

    def traffic(self, filters: Filters) -> dict[str, Any]:
        """Return the charts, models and savings of a window."""
        now_s = time.time()
        if filters.source == "metrics":
            return metric_traffic([watch.history for watch in self.servers], filters, now_s)
        return traffic(self.table, filters, self.config.prices, now_s)

    def requests(self, filters: Filters, chart: str, from_s: float, until_s: float) -> dict[str, Any]:
        """Return the requests behind a point."""
        return requests_behind(self.table, filters, chart, from_s, until_s)

    def operations(self) -> dict[str, Any]:
        """Return how servers, budgets, experiments and the loop are doing, and this process."""
        now_s = time.time()
        told = operations_now(self.servers, now_s)
        return {
            **told,
            "at": now_s,
            "notices": notices(told["servers"], told["budgets"], self.table.n_seen, self._places, self._store_problem),
            "experiments": _experiments(self.config.states),
            "loop": _loop(self.config.loop),
            "reports": {
                name: {"report": run.report, "at": run.at_s, "problem": run.problem, "command": run.command}
                for name, run in self._reports.items()
            },
            "log": {
                "rows": self.table.n_seen,
                "bad": self.n_bad,
                "kept": min(self.table.n_seen, self.config.most_rows),
                "places": self._places,
            },
            "process": self._process(),
        }

    @property
    def _places(self) -> list[str]:
        return [str(each) for each in (*self.config.states, self.config.store)]

    def _process(self) -> dict[str, float]:
        used_s, looked_s = _cpu_s(), time.monotonic()
        if looked_s - self._looked_s >= 1.0:
            self._cpu_share = (used_s - self._used_s) / (looked_s - self._looked_s)
            self._used_s, self._looked_s = used_s, looked_s
        return {"rss_bytes": _rss_bytes(), "cpu_share": self._cpu_share}

    def _tell(self, source: str) -> None:
        """Wake who waits for news; who comes later waits for the next."""
        self.versions[source] += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow_segments(self) -> None:
        while True:
            is_behind = False
            for tail in self._tails:
                lines, more = tail.poll()
                if lines:
                    rows, n_bad = decode_lines(lines)
                    self.n_bad += n_bad
                    self.table.add(rows)
                    self._tell("log")
                is_behind |= more
            await asyncio.sleep(0.0 if is_behind else self.config.tail_s)

    async def _follow_store(self) -> None:
        while True:
            await asyncio.sleep(_STORE_S)
            await self._read_store()

    async def _read_store(self) -> None:
        since = datetime.fromtimestamp(time.time() - max(RANGES.values()), UTC)
        chunks = self._store.poll(since)
        try:
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                self.table.add(chunk)
                self._tell("log")
            self._store_problem = None
        except Exception as error:  # noqa: BLE001  the edge of the process: whatever is wrong with a file is told
            if self._store_problem is None:
                events.warning("dashboard.store_not_read", error=str(error))
            self._store_problem = f"{self.config.store} cannot be read: {error}"

    async def _follow_server(self, watch: ServerWatch) -> None:
        while True:
            before = watch.state
            if await watch.look() or watch.state != before:
                self._tell("metrics")
            await asyncio.sleep(self.config.scrape_s)


def _experiments(states: Sequence[Path]) -> list[dict[str, Any]]:
    found = {}
    for state in states:
        try:
            for each in read_experiments(state / EXPERIMENTS_FILE).experiments:
                found[each.id] = {
                    "id": each.id,
                    "status": each.status,
                    "unit": each.unit,
                    "shadow": each.shadow,
                    "variants": {variant.name: variant.share for variant in each.variants},
                    "policies": {variant.name: variant.policy for variant in each.variants},
                }
        except BeastError as error:
            found[str(state)] = {"id": str(state), "status": "unreadable", "problem": str(error), "variants": {}}
    return list(found.values())


def _loop(path: Path) -> dict[str, Any] | None:
    try:
        state = StateFile(path).read()
    except BeastError as error:
        return {"problem": str(error)}
    if state is None:
        return None
    return {
        "cycle": state.cycle,
        "step": state.step,
        "since": state.entered_at.timestamp(),
        "reason": state.reason,
        "candidate": state.candidate,
        "champion": state.champion,
        "finished": msgspec.to_builtins(state.finished[-_FINISHED:]),
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rss_bytes() -> int:
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
