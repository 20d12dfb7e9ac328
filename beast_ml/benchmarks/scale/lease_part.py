"""What the ledger of budgets costs where it lies: a worker's step, and an outcome told to another worker than decided.

Every worker takes a step on the ledger once a second: it reports, and leases. An outcome that arrives at a worker which
did not decide the request is forwarded through the ledger, where every worker looks for what is its own. Both grow with
the fleet, and no single server shows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.scale.cost_model import LeaseCost
from beast_ml.benchmarks.scale.deployments import deployed
from beast_ml.benchmarks.serving.processes import process_tree, usage_of
from beast_ml.domain import SystemClock
from beast_ml.errors import BeastError
from beast_ml.operations.budgets import BudgetRule, Ledger, open_ledger
from beast_ml.operations.budgets.ledger import Batch, Entry
from beast_ml.operations.budgets.rules import window_of

__all__ = ["measure_leases"]

_N_HOLDERS: Final = 100
_N_STEPS: Final = 1_000
_N_FORWARDED: Final = 2_000
_N_READERS: Final = 20
_ACCOUNTS: Final = ("global:*:day", "tenant:default:day")


def measure_leases(folder: Path) -> tuple[LeaseCost, ...]:
    """Return what the ledger costs in Valkey and in PostgreSQL, as far as they are there.

    Raises
    ------
    BeastError
        If neither is.
    """
    found: list[LeaseCost] = []
    failed: list[BeastError] = []
    for deployment, service in (("valkey", "valkey"), ("shared", "postgres")):
        try:
            found.append(_measure(deployment, service, folder / service))
        except BeastError as error:
            failed.append(error)
    if not found:
        raise failed[0]
    return tuple(found)


def _measure(deployment: str, service: str, folder: Path) -> LeaseCost:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        services = stack.enter_context(deployed(deployment, folder))
        at = services.valkey if service == "valkey" else services.postgres
        assert at is not None  # noqa: S101  both deployments have theirs
        pid = at.pid
        assert pid is not None  # noqa: S101  it was started
        is_sql = service == "postgres"
        ledger = open_ledger(at.url if is_sql else None, None if is_sql else at.url, folder)
        stack.callback(ledger.close)

        def cpu_us(act: Callable[[], None]) -> tuple[float, float]:
            before, own = _cpu_us(pid), time.process_time()
            act()
            return _cpu_us(pid) - before, (time.process_time() - own) * 1e6

        return _of_ledger(ledger, service, cpu_us)


def _of_ledger(ledger: Ledger, service: str, cpu_us: Callable[[Callable[[], None]], tuple[float, float]]) -> LeaseCost:
    ledger.set_rules([BudgetRule(scope="global", limit_nano=10**15), BudgetRule(scope="tenant", limit_nano=10**15)])
    workers = [_Worker(ledger, f"worker-{i}") for i in range(_N_HOLDERS)]
    for worker in workers:
        worker.step()

    def steps() -> None:
        for i in range(_N_STEPS):
            workers[i % _N_HOLDERS].step()

    used, own = cpu_us(steps)
    step_us, own_step_us = used / _N_STEPS, own / _N_STEPS
    told = [(f"req-{i}", 1) for i in range(_N_FORWARDED)]
    forwarding, _ = cpu_us(lambda: workers[0].step(told))

    def read() -> None:
        for worker in workers[1 : 1 + _N_READERS]:
            worker.step()

    reading, own = cpu_us(read)
    return LeaseCost(
        service=service,
        step_us=step_us,
        # A script in Valkey is alone on its thread as long as it runs; a transaction in PostgreSQL holds its lock over
        # the client's round trips.
        held_us=step_us if service == "valkey" else step_us + own_step_us,
        forward_us=max(forwarding - step_us, 0.0) / _N_FORWARDED,
        read_us=max(reading - _N_READERS * step_us, 0.0) / (_N_READERS * _N_FORWARDED),
        worker_read_us=max(own - _N_READERS * own_step_us, 0.0) / (_N_READERS * _N_FORWARDED),
    )


class _Worker:
    def __init__(self, ledger: Ledger, holder: str) -> None:
        self._ledger, self._holder = ledger, holder
        self._seq = self._since = 0
        day = window_of("day", SystemClock().now())
        self._windows = [(account, day) for account in _ACCOUNTS]

    def step(self, told: Sequence[tuple[str, int]] = ()) -> None:
        self._seq += 1
        entries = tuple(
            Entry(account, window, settled=500 if self._seq > 1 else 0, least=1_000, target=2_000)
            for account, window in self._windows
        )
        now_s = SystemClock().now().timestamp()
        batch = Batch(self._holder, self._seq, now_s, entries, settlements=tuple(told), since=self._since)
        self._since = self._ledger.exchange(batch).last


def _cpu_us(pid: int) -> float:
    return sum(used.cpu_s for used in usage_of(process_tree(pid)).values()) * 1e6
