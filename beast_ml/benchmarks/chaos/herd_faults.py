"""Hundreds of requests at once, at a server that has just been started: equal ones, and all different."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.chaos.traffic import TENANTS, TIGHT, AnswerFile, Ask, Reply, write_asks
from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED, LoadPlan

__all__ = ["HERD_FAULTS", "equal_calls", "run_herd"]

_N_EACH: Final = 150
_WITHIN_S: Final = 0.1
_WAIT_S: Final = 60.0


def run_herd(deployment: Deployment, n_each: int = _N_EACH) -> list[Reply]:
    """Send so many equal requests of one tenant, and as many different ones of the tight one, within a moment."""
    n_before = len(deployment.herds)
    asked = [
        ask
        for i in range(n_each)
        for ask in (
            Ask(TENANTS[0], f"Herd {n_before}: what does everybody want to know?"),
            Ask(TIGHT, f"Herd {n_before}, number {i}: what do I alone want to know?"),
        )
    ]
    folder = deployment.folder / "herd"
    folder.mkdir(exist_ok=True)
    bodies, answers = folder / "bodies.jsonl", folder / f"answers-{n_before}.jsonl"
    write_asks(bodies, asked)
    plan = LoadPlan(
        port=deployment.port,
        path="/v1/chat/completions",
        bodies=str(bodies),
        repeat=True,
        rate=len(asked) / _WITHIN_S,
        even=True,
        connections=len(asked),
        warm_s=0.0,
        measure_s=_WITHIN_S,
        wait_s=_WAIT_S,
        headers_in_turn=tuple({"authorization": f"Bearer {deployment.keys[name]}"} for name in (TENANTS[0], TIGHT)),
        answers=str(answers),
    )
    with Driver(folder).start(plan) as running:
        running.result()
    found = AnswerFile(answers, asked).look()
    deployment.herds += found
    return found


def equal_calls(replies: Sequence[Reply], n_workers: int) -> list[str]:
    """Return which equal requests, sent at once, made more calls than there are workers to make one each."""
    calls: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for reply in replies:
        if reply.call is not None:
            calls[reply.ask.tenant, reply.ask.prompt].add(reply.call)
    return [
        f"{len(made)} calls were made for {prompt!r} of {tenant}"
        for (tenant, prompt), made in calls.items()
        if len(made) > n_workers
    ]


def _kill(deployment: Deployment, _: np.random.Generator) -> None:
    deployment.server.kill()


def _start_and_herd(deployment: Deployment) -> None:
    deployment.start_server()
    herd = run_herd(deployment)
    deployment.noted += equal_calls(herd, deployment.n_workers)
    failed = [reply for reply in herd if not reply.is_as_wanted]
    if failed:
        first = failed[0].answered
        deployment.noted.append(f"{len(failed)} of {len(herd)} in the herd failed: {first.status} {first.body[:200]}")


HERD_FAULTS: Final = (
    Fault(
        "thundering herd",
        "herd",
        f"the server is killed and started; at once {_N_EACH} equal requests come, and {_N_EACH} different ones of the "
        "tenant whose budget is nearly spent",
        _kill,
        Rate(4),
        mend=_start_and_herd,
        is_mended_at_once=True,
        may=frozenset({CLOSED, REFUSED}),
    ),
)
"""In the order of the report."""
