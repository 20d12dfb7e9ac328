"""The report of a load run: ``report.json`` for programs, ``report.md`` for people."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.serving.application import ApplicationTurn
from beast_ml.benchmarks.serving.cases import CaseResult, Spread
from beast_ml.benchmarks.serving.gateway_part import GatewayResult, quantiles_ms
from beast_ml.benchmarks.serving.hit_part import HitResult, HitTurn
from beast_ml.benchmarks.serving.serving_bench import ServingConfig, ServingResult
from beast_ml.benchmarks.serving.surroundings import machine, markdown_table, versions
from beast_ml.benchmarks.serving.verdicts import Target, half_ms, per_echo, targets
from beast_ml.benchmarks.serving.wrk import wrk_version

__all__ = ["describe", "measured", "number", "spread_text", "summary", "to_markdown"]

_HOW_TO_READ: Final = (
    "Medians over repetitions, each on a fresh server [lowest, highest]. Capacity: closed loop. Latency: open loop, "
    "Poisson arrivals, from when a request was due. CPU: all workers' user and system time from /proc; `of a core` is "
    "the share of the time that the busiest worker was on a core: well below 1, the machine gave it no more, and "
    "requests a core-second say more than requests a second. MB: resident."
)
_ROUND: Final = 10_000.0


def describe(config: ServingConfig, result: ServingResult, command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``report.json`` holds."""
    return {
        "command": command,
        "settings": {
            "parts": list(config.parts),
            "seconds": config.effort.seconds,
            "repeats": config.effort.repeats,
            "connections": config.effort.connections,
            "workers": config.workers,
            "closed_loops": f"wrk {wrk_version()}" if config.wrk else "own generator",
            "fault_rate": config.timing.rate,
        },
        "machine": machine(len(config.cores)),
        "versions": _versions(config),
        "targets": msgspec.to_builtins(targets(result)),
        "cases": msgspec.to_builtins(result.cases),
        "gateway": msgspec.to_builtins(result.gateway),
        "hit": msgspec.to_builtins(result.hit),
        "faults": msgspec.to_builtins(result.faults),
        "soak": msgspec.to_builtins(result.soak),
        "left_out": dict(result.left_out),
        "seconds": result.seconds,
    }


def to_markdown(config: ServingConfig, result: ServingResult, command: str) -> str:
    """Return the report for people: targets first, then a table a part."""
    found = machine(len(config.cores))
    lines = [
        "# Serving benchmark",
        "",
        f"    {command}",
        "",
        f"{found['cpu']}, {found['cores']} cores, load average {found['load_average']}; "
        + ", ".join(f"{name} {number}" for name, number in _versions(config).items())
        + ".",
        "",
        _HOW_TO_READ,
        "",
        "## Targets",
        "",
        f"{summary(targets(result)).capitalize()}.",
        "",
        *markdown_table(("figure", "wanted", "measured", ""), (
            (one.name, one.wanted, measured(one), _WORDS[one.met]) for one in targets(result)
        )),
        "",
    ]  # fmt: skip
    for name, why in result.left_out.items():
        lines += [f"Left out: {name} ({why.splitlines()[0]}).", ""]
    if result.cases:
        lines += ["## Capacity", "", *_cases_table(result), "", *_arithmetic(result)]
    if result.gateway:
        lines += ["## Gateway", "", *_gateway_table(result.gateway), ""]
    if result.hit is not None:
        lines += ["## An exact hit in a worker's memory", "", *_hit_table(result.hit), ""]
    if result.faults:
        lines += ["## Faults under steady load", "", *_faults_table(result), ""]
    if result.soak is not None:
        lines += ["## Soak", "", *_soak_lines(result), ""]
    return "\n".join(lines)


_WORDS: Final = {True: "met", False: "**not met**", None: "not measured"}


def summary(found: Sequence[Target]) -> str:
    """Return how many targets are met, in a sentence."""
    met = [one.met for one in found]
    return f"of {len(met)} targets {met.count(None)} not measured, {met.count(True)} met, {met.count(False)} not met"


def measured(one: Target) -> str:
    """Return a target's figure for a table."""
    if one.measured is None:
        return "-"
    if one.low is None or one.high is None or one.low == one.high:
        return number(one.measured)
    return f"{number(one.measured)} [{number(one.low)}, {number(one.high)}]"


def number(value: float) -> str:
    """Return a figure for a table: three digits, or whole from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def spread_text(found: Spread | None) -> str:
    """Return a median and its ends for a table."""
    return "-" if found is None else f"{number(found.median)} [{number(found.low)}, {number(found.high)}]"


def _cases_table(result: ServingResult) -> list[str]:
    columns = (
        "case", "workers", "decisions/s", "of the echo's", "CPU us a decision", "decisions a core-second", "of a core",
        "p50 / p95 / p99 ms at half", "failed", "MB", "ready s",
    )  # fmt: skip
    return markdown_table(columns, (_case_row(result, case) for case in result.cases))


def _case_row(result: ServingResult, case: CaseResult) -> tuple[object, ...]:
    cpu = case.of(lambda each: each.full.worker_cpu_us / case.decisions)
    latencies = [half_ms(case, name) for name in ("p50_us", "p95_us", "p99_us")]
    share = per_echo(result, case)
    return (
        case.name,
        case.workers,
        spread_text(case.per_s),
        "-" if share is None or case.decisions > 1 else f"{share.median:.2f}",
        spread_text(cpu),
        f"{1e6 / cpu.median:,.0f}",
        f"{case.of(lambda each: each.full.busy[0] if each.full.busy else math.nan).median:.2f}",
        " / ".join("-" if each is None else f"{each.median:.2f}" for each in latencies),
        case.failed,
        number(case.of(lambda each: max(each.full.worker_mb, each.half.worker_mb)).median),
        f"{case.of(lambda each: each.ready_s).median:.2f}",
    )


def _arithmetic(result: ServingResult) -> list[str]:
    """Say what ten thousand unseen prompts a second take."""
    one = result.case("unseen")
    if one is None:
        return []
    cpu_us = one.of(lambda each: each.full.worker_cpu_us).median
    wall, cpu = one.per_s.median, 1e6 / cpu_us
    several = [case for case in result.cases if case.name == "unseen" and case.workers > 1]
    sentence = (
        f"{_ROUND:,.0f} unseen prompts a second: a worker takes {wall:,.0f} requests/s here, so "
        f"{math.ceil(_ROUND / wall)} workers on as many cores at full load and {math.ceil(2 * _ROUND / wall)} at half "
        f"(the latencies above); by CPU time alone ({cpu_us:.0f} us a request, {cpu:,.0f} a core-second) "
        f"{_ROUND * cpu_us / 1e6:.1f} cores' worth. Workers share nothing on this path, so hosts add up."
    )
    lines = [sentence]
    for case in several:
        spent = case.of(lambda each: each.full.worker_cpu_us).median
        lines.append(
            f"{case.workers} workers: {case.per_s.median / wall:.2f} times one worker's requests/s, with the generator "
            f"{'on the same cores' if case.workers >= (os.cpu_count() or 1) else 'on other cores'}; CPU a request "
            f"{spent / cpu_us:.2f} times one worker's."
        )
    return [" ".join(lines), ""]


def _gateway_table(found: Sequence[GatewayResult]) -> list[str]:
    def rows() -> Iterator[tuple[object, ...]]:
        for one in found:
            kinds = (("first byte", True), ("whole answer", False)) if one.stream else (("whole answer", False),)
            for what, first in kinds:
                direct, through = (
                    [turn.first_byte if first else turn.latency for turn in side]
                    for side in ([t.direct.load for t in one.turns], [t.through.load for t in one.turns])
                )
                added = [one.added_us(name, first_byte=first) for name in ("p50_us", "p95_us", "p99_us")]
                yield (
                    f"{'streamed' if one.stream else 'not streamed'}, {what}",
                    f"{one.rate:g}",
                    quantiles_ms(direct[len(direct) // 2]),
                    quantiles_ms(through[len(through) // 2]),
                    " / ".join(f"{each.median / 1000:.2f}" for each in added),
                    one.failed,
                )

    columns = ("answers", "requests/s", "direct p50 / p95 / p99 ms", "through", "added, median of turns", "failed")
    return markdown_table(columns, rows())


def _hit_table(found: HitResult) -> list[str]:
    rows: tuple[tuple[str, Callable[[HitTurn], float]], ...] = (
        ("bare ASGI echo of the chat", lambda turn: turn.echo),
        ("`/v1/route` of a prompt seen before", lambda turn: turn.route),
        ("hit", lambda turn: turn.hit),
        ("hit, as a stream", lambda turn: turn.streamed),
        ("hit less the echo", lambda turn: turn.hit - turn.echo),
        ("hit less `/v1/route`", lambda turn: turn.hit - turn.route),
    )
    alone: tuple[tuple[str, Callable[[ApplicationTurn], float]], ...] = (
        ("the application without HTTP: `/v1/route`", lambda turn: turn.route),
        ("the application without HTTP: hit", lambda turn: turn.hit),
        ("the application without HTTP: hit, as a stream", lambda turn: turn.streamed),
    )
    told = [(name, spread_text(found.of(what))) for name, what in rows]
    told += [(name, spread_text(found.of_application(what))) for name, what in alone]
    return markdown_table(("of one worker", "CPU us a request"), told)


def _faults_table(result: ServingResult) -> list[str]:
    columns = (
        "fault", "requests/s", "workers", "sent", "answered", "failed", "lost with the killed worker",
        "refused after the end", "acknowledged rows", "lost", "recovery s", "slowest answer s",
    )  # fmt: skip
    return markdown_table(columns, (
        (
            one.name, f"{one.rate:g}", one.workers, one.sent, one.answered,
            ", ".join(f"{count} {kind}" for kind, count in one.failures.items()) or 0,
            one.in_flight, one.after_end, one.logged + one.lost, one.lost,
            "never" if one.recovery_s is None else f"{one.recovery_s:.1f}", f"{one.worst_s:.3f}",
        )
        for one in result.faults
    ))  # fmt: skip


def _soak_lines(result: ServingResult) -> list[str]:
    one = result.soak
    assert one is not None  # noqa: S101  asked before
    slope = one.slope
    growth = (
        "too short for a slope"
        if slope is None
        else f"growth after the first fifth {slope.mb_per_h:.2f} MB/h [{slope.low:.2f}, {slope.high:.2f}]"
    )
    first, last = (f"{one.worker_mb[i]:.0f}" if one.worker_mb else "-" for i in (0, -1))
    sentence = (
        f"{one.minutes:g} minutes at {one.rate:g} requests/s: {one.load.answered:,} answered, {one.load.failed} failed "
        f"({one.load.failures or 'none'}), p50 / p95 / p99 {quantiles_ms(one.load.latency)} ms; memory of the workers "
        f"{first} MB at first, {last} MB at the end, {growth}."
    )
    return [sentence]


def _versions(config: ServingConfig) -> dict[str, str]:
    if config.litellm is None:
        return versions()
    ask = "import importlib.metadata as m; print(m.version('litellm'))"
    said = subprocess.run([str(config.litellm), "-c", ask], capture_output=True, text=True, check=False)
    return {"litellm": said.stdout.strip() or "not installed"} | versions()
