"""Workers as real processes that spend one budget together and are killed at random; counts what was really spent.

    python -m beast_ml.testing.budget_swarm STATE --workers 64 --kills 40 [--database-url URL | --redis-url URL]

Each worker writes into a file of its own, past any buffer, what it has reserved (before it "spends") and settled. In
the end the truth of these files is compared with the ledger. Prints one JSON object. Run it as a process of its own: it
forks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from beast_ml.errors import BudgetExceededError, UnavailableError
from beast_ml.operations.budgets import BudgetGuard, BudgetRule, open_ledger, recover
from beast_ml.operations.budgets.ledger import AccountState

__all__ = ["main"]

_UPPER = 1_000
_MAX_REFUSALS = 3


def main(arguments: list[str]) -> None:
    """Run, kill, recover, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--requests", type=int, default=150, help="of each worker")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--limit", type=int, default=2_000_000, help="nano-dollars of the one budget")
    parser.add_argument("--database-url")
    parser.add_argument("--redis-url")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.state.mkdir(parents=True, exist_ok=True)
    truth = options.state / "truth"
    truth.mkdir()
    rng = random.Random(options.seed)  # noqa: S311 - who is killed when, not a secret
    seeds = iter(range(1, 1_000_000))

    def fork() -> int:
        seed = next(seeds)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.run(_work(options, truth / f"{os.getpid()}.txt", random.Random(seed)))  # noqa: S311
                code = 0
            except BaseException:  # noqa: BLE001 - a child's edge: it must not go on as its parent
                traceback.print_exc()
            finally:
                os._exit(code)
        return child

    start = looked = time.monotonic()
    living = {fork() for _ in range(options.workers)}
    kills = failures = 0
    ledger = open_ledger(options.database_url, options.redis_url, options.state)  # after the forks: not shared
    while living:
        time.sleep(0.05)
        for child in list(living):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                living.discard(child)
                failures += os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL)
        if kills < options.kills and living and time.monotonic() - start > 3.0:
            victim = rng.choice(sorted(living))
            os.kill(victim, signal.SIGKILL)
            kills += 1
            living.add(fork())  # a successor, as a supervisor starts one
        if time.monotonic() - looked > 1.0:
            with suppress(UnavailableError):  # the next look will do
                recover(options.state, ledger)
            looked = time.monotonic()
    recover(options.state, ledger)
    (account,) = ledger.accounts()
    counts = _count(truth, account, options.limit)
    counts |= {"workers": options.workers, "kills": kills, "failures": failures}
    print(json.dumps(counts))  # noqa: T201 - this is a program
    ledger.close()


async def _work(options: argparse.Namespace, truth: Path, rng: random.Random) -> None:
    """Spend as one worker does, two requests at a time."""
    ledger = open_ledger(options.database_url, options.redis_url, options.state)
    rules = [BudgetRule(scope="tenant", limit_nano=options.limit)]
    guard = BudgetGuard.open(ledger, options.state, rules, patience_s=1.0)
    await guard.start()
    fd = os.open(truth, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def requests(lane: int) -> None:
        refusals = 0
        for n in range(options.requests // 2):
            if refusals == _MAX_REFUSALS:
                return  # the budget is used up
            name = f"{os.getpid()}.{lane}.{n}"
            upper = rng.randint(1, _UPPER)
            try:
                if not guard.try_reserve(name, "acme", None, upper):
                    await guard.reserve(name, "acme", None, upper)
            except BudgetExceededError:
                os.write(fd, b"refused 0 0\n")
                refusals += 1
                continue
            except UnavailableError:
                os.write(fd, b"unavailable 0 0\n")
                await asyncio.sleep(0.1)
                continue
            actual = rng.randint(0, upper)
            os.write(fd, b"spends %s %d\n" % (name.encode(), upper))
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            guard.settle(name, actual)
            os.write(fd, b"spent %s %d\n" % (name.encode(), actual))

    await asyncio.gather(requests(0), requests(1))
    await guard.close()
    ledger.close()


def _count(truth: Path, account: AccountState, limit: int) -> dict[str, int]:
    """Return the ledger's sums beside what the workers really did."""
    reserved: dict[str, int] = {}
    settled: dict[str, int] = {}
    counts = {"refused": 0, "unavailable": 0}
    for file in truth.iterdir():
        for line in file.read_text().splitlines():
            what, name, amount = line.split(" ")
            if what == "spends":
                reserved[name] = int(amount)
            elif what == "spent":
                settled[name] = int(amount)
            else:
                counts[what] += 1
    in_doubt = sum(upper for name, upper in reserved.items() if name not in settled)
    return counts | {
        "limit": limit,
        "requests": len(reserved),
        "truly_settled": sum(settled.values()),
        "truly_in_doubt": in_doubt,
        "settled": account.settled,
        "lost": account.lost,
        "leased": account.leased,
        "reserved": account.reserved,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
