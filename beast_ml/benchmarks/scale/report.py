"""The report of a capacity run: ``report.json`` for programs, ``report.md`` for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.scale.cost_model import COLUMNS, CostModel, Deployment
from beast_ml.benchmarks.scale.deployments import DEPLOYMENTS
from beast_ml.benchmarks.scale.limits import Limit
from beast_ml.benchmarks.scale.plan import Plan
from beast_ml.benchmarks.scale.releases_part import TARGET, PathRatio, ReleasesResult
from beast_ml.benchmarks.scale.scale_bench import Planned, ScaleConfig, ScaleResult
from beast_ml.benchmarks.scale.site import SOURCES
from beast_ml.benchmarks.serving.cases import Spread
from beast_ml.benchmarks.serving.report import number, spread_text
from beast_ml.benchmarks.serving.surroundings import machine, markdown_table

__all__ = ["PLAN_COLUMNS", "RELEASE_COLUMNS", "describe", "plan_rows", "release_rows", "to_markdown"]

_HOW_TO_READ: Final = (
    "Medians over repetitions, each on a fresh server [lowest, highest]; closed loop, 16 connections, one worker on "
    "one core. CPU is user and system time from /proc, so another process on the machine changes it little, requests a "
    "second much. An echo is a bare ASGI application behind the same HTTP server, of the same repetition. CPU time "
    "below a hundredth of a second in a measurement reads as 0."
)


_LEASE_COLUMNS: Final = (
    "budgets' ledger in",
    "CPU us a step of a worker",
    "us in which nobody else steps",
    "CPU us an outcome forwarded",
    "CPU us to show it to one worker",
    "CPU us of that worker",
)


def describe(config: ScaleConfig, result: ScaleResult, command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``report.json`` holds."""
    return {
        "command": command,
        "settings": {
            "parts": list(config.parts),
            "seconds": config.effort.seconds,
            "repeats": config.effort.repeats,
            "deployments": list(config.deployments),
            "paths": list(config.paths),
            "rates": list(config.rates),
            "mixes": {name: dict(mix) for name, mix in config.mixes.items()},
            "site": asdict(config.site),
        },
        "machine": machine(len(config.cores)),
        "cost": msgspec.to_builtins(result.cost),
        "plans": [{"deployment": each.deployment, "mix": each.mix, **_plain(each.plan)} for each in result.plans],
        "sensitivity": [
            {"mix": each.mix, "hit_share": each.hit_share, **_plain(each.plan)} for each in result.sensitivity
        ],
        "releases": msgspec.to_builtins(result.releases),
        "left_out": dict(result.left_out),
    }


def _plain(plan: Plan) -> dict[str, Any]:
    known = {field.name: getattr(plan, field.name) for field in fields(plan) if field.name not in ("parts", "limits")}
    first = plan.first_to_break
    return {
        **known,
        "usd_month": plan.usd_month,
        "cores": plan.cores,
        "memory_gb": plan.memory_gb,
        "parts": [asdict(part) for part in plan.parts],
        "limits": [
            {"name": each.name, "saturates_per_s": _finite(each.rate_at()), "why": each.why} for each in plan.limits
        ],
        "first_to_break": None if first is None else first.name,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def to_markdown(config: ScaleConfig, result: ScaleResult, command: str) -> str:
    """Return the report for people."""
    lines = ["# Capacity", "", f"    {command}", ""]
    for name, why in result.left_out.items():
        lines += [f"Left out: {name} ({why.splitlines()[0]}).", ""]
    if result.cost is not None:
        lines += _cost_lines(result.cost)
    if result.plans:
        lines += _plan_lines(config, result)
    if result.releases is not None:
        lines += _release_lines(result.releases)
    return "\n".join(lines)


def _cost_lines(cost: CostModel) -> list[str]:
    on = cost.machine
    where = (
        f"{on.get('cpu', '-')}, {on.get('cores', '-')} cores, load average {on.get('load_average', '-')} at the end."
    )
    echo = f"A bare echo takes {spread_text(cost.echo_us)} us."
    lines = ["## What a request costs", "", f"{where} {_HOW_TO_READ} {echo}", ""]
    for deployment in cost.deployments:
        lines += [f"### {deployment.name}: {DEPLOYMENTS.get(deployment.name, '')}", "", *_cost_table(deployment), ""]
        idle = ", ".join(
            f"{COLUMNS[name]} {number(found.median)}" for name, found in deployment.idle.items() if found.median
        )
        entries = ", ".join(f"{where} {number(size)} bytes" for where, size in deployment.entry_bytes.items())
        lines += [
            f"A second without requests, one worker: {idle or 'nothing'}. Resident: a worker "
            f"{spread_text(deployment.worker_mb)} MB, the others {spread_text(deployment.others_mb)} MB."
            + (f" An answer that is cached: {entries}." if entries else ""),
            "",
        ]
    if cost.compaction_us is not None:
        lines += [f"`beast logs compact` takes {number(cost.compaction_us)} us of CPU a row.", ""]
    if cost.leases:
        lines += [*markdown_table(_LEASE_COLUMNS, (
            (each.service, *(number(value) for value in msgspec.structs.astuple(each)[1:]))
            for each in cost.leases
        )), ""]  # fmt: skip
    if cost.checks:
        lines += [
            "### What the model predicts",
            "",
            *markdown_table(("figure", "predicted", "measured", "too high by"), (
                (each.what, number(each.predicted), spread_text(each.measured), f"{each.error:+.0%}")
                for each in cost.checks
            )),
            "",
        ]  # fmt: skip
    return lines


def _cost_table(deployment: Deployment) -> list[str]:
    names = [name for name in COLUMNS if any(each.of(name) for each in deployment.paths)]
    columns = ("path", "echoes", *(COLUMNS[name] for name in names), "requests/s", "failed")
    return markdown_table(columns, (
        (
            each.path,
            spread_text(each.echoes),
            *(_cell(each.figures.get(name)) for name in names),
            number(each.per_s.median),
            each.failed,
        )
        for each in deployment.paths
    ))  # fmt: skip


def _cell(found: Spread | None) -> str:
    return "-" if found is None else spread_text(found) if found.median >= 10 else number(found.median)


def plan_rows(plans: Sequence[Planned]) -> Iterator[tuple[str, ...]]:
    """Yield a row a plan: what it takes, and what gives out first."""
    for each in plans:
        plan, first = each.plan, each.plan.first_to_break
        units = {part.name: part.units for part in plan.parts}
        yield (
            each.deployment,
            each.mix,
            f"{plan.rate:,.0f}",
            f"{units['replicas']:,}",
            f"{plan.cores:,.0f}",
            f"{plan.memory_gb:,.0f}",
            f"{units.get('Valkey', 0):,}",
            f"{units.get('PostgreSQL', 0):,}",
            f"{plan.cells:,}",
            f"{plan.gbit_per_s:.3g}",
            f"{plan.log_gb_day:,.0f}",
            f"{plan.usd_month:,.0f}",
            f"{plan.usd_per_million:.3g}",
            "nothing" if first is None else f"{first.name}, at {first.rate_at():,.0f}/s",
        )


PLAN_COLUMNS: Final = (
    "deployment", "mix", "requests/s", "replicas", "cores", "GB memory", "Valkeys", "PostgreSQLs", "cells", "Gbit/s",
    "GB of log a day", "USD a month", "USD a million", "gives out first",
)  # fmt: skip
"""What `plan_rows` yields."""


def _plan_lines(config: ScaleConfig, result: ScaleResult) -> list[str]:
    site = config.site
    how = (
        f"Rates are of the peak, {site.peak_to_mean:.3g} times the mean. A replica has {site.cores} cores and "
        f"{site.workers} workers, busy {site.utilisation:.0%} of their time at most, and less where the p95 of our own "
        f"time would be above {site.p95_ms:g} ms; {site.spare} replicas may be away, of each cell. Of Valkey and "
        "PostgreSQL there is a second one to take over. What there is one of is enough up to the rate at which it "
        "gives out; beyond, the fleet is cut into cells, each with its own, for some tenants. Providers and network "
        "traffic are not in the dollars."
    )
    lines = [
        "## Plans",
        "",
        how,
        "",
        *markdown_table(PLAN_COLUMNS, plan_rows(result.plans)),
        "",
        "Mixes, in calls a request: "
        + "; ".join(f"{name}: {', '.join(f'{p} {c:g}' for p, c in mix.items())}" for name, mix in config.mixes.items())
        + ".",
        "",
        "### Where it would give out",
        "",
        *markdown_table(("deployment", "mix", "what", "full at requests/s", "why"), _limit_rows(result.plans)),
        "",
        "Replicas and load balancers are added without an end: hosts share nothing on the path of a decision.",
        "",
    ]
    if result.sensitivity:
        rate = result.sensitivity[0].plan.rate
        lines += [
            f"### What hits change, at {rate:,.0f} requests/s",
            "",
            *markdown_table(("mix", "share of hits", "replicas", "cores", "USD a month", "USD a million"), (
                (
                    each.mix, f"{each.hit_share:.0%}", f"{each.plan.part('replicas').units:,}",
                    f"{each.plan.cores:,.0f}", f"{each.plan.usd_month:,.0f}", f"{each.plan.usd_per_million:.3g}",
                )
                for each in result.sensitivity
            )),
            "",
        ]  # fmt: skip
    lines += ["Assumed: " + "; ".join(f"{name}: {why}" for name, why in SOURCES.items()) + ".", ""]
    return lines


def _limit_rows(plans: Sequence[Planned]) -> Iterator[tuple[str, ...]]:
    seen = set()
    for each in plans:  # limits are the same at every rate
        if (each.deployment, each.mix) in seen:
            continue
        seen.add((each.deployment, each.mix))
        for limit in sorted(each.plan.limits, key=Limit.rate_at):
            yield each.deployment, each.mix, limit.name, f"{limit.rate_at():,.0f}", limit.why


RELEASE_COLUMNS: Final = ("path", "CPU us then", "CPU us now", "now / then", "cheaper by", "half or less")
"""What `release_rows` yields."""

_WORDS: Final = {True: "yes", False: "**no**", None: "not certain"}


def release_rows(result: ReleasesResult) -> Iterator[tuple[str, ...]]:
    """Yield a row a path and mix: what it cost, what it costs, and whether that is half."""

    def row(one: PathRatio, name: str) -> tuple[str, ...]:
        ratio = one.ratio
        return (
            name,
            spread_text(one.old_us),
            spread_text(one.new_us),
            f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
            f"{1 - ratio.value:+.0%}",
            _WORDS[one.met],
        )

    yield from (row(each, each.path) for each in result.paths)
    yield from (row(each, f"mix {each.path}") for each in result.mixes)


def _release_lines(result: ReleasesResult) -> list[str]:
    how = (
        f"Commit {result.commit[:12]}, its own code and a bundle that it has fitted itself, on the same prompts and "
        f"core, in turns then, now, then, now, ...; the worker's CPU time. Wanted: {TARGET:g} or less. Ratios: "
        "geometric mean of turns, with its 95% interval, or with their lowest and highest where there are two or fewer."
    )
    lines = [
        "## Beside the first release that serves",
        "",
        how,
        "",
        *markdown_table(RELEASE_COLUMNS, release_rows(result)),
        "",
    ]
    for name, why in result.left_out.items():
        lines += [f"Left out: {name} ({why}).", ""]
    return lines
