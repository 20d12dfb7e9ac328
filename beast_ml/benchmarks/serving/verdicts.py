"""What serving must reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Final

from beast_ml.benchmarks.serving.cases import CaseResult, Repeat, Spread
from beast_ml.benchmarks.serving.load_plan import Quantiles
from beast_ml.benchmarks.serving.serving_bench import ECHO_AFTER, ECHO_BEFORE, ServingResult

__all__ = ["Target", "half_ms", "per_echo", "scaling", "targets"]

_UNSEEN: Final = "unseen"
_MIN_SOAK: Final = 10.0
_QUICK_KINDS: Final = ("seen", "features")


@dataclass(frozen=True)
class Target:
    """A figure beside what it must reach.

    Parameters
    ----------
    name
        What it is.
    wanted
        In words.
    measured
        The median over repetitions; None: not measured.
    met
        Whether it is reached; None: not measured.
    low, high
        The lowest and the highest repetition, where there were some.
    """

    name: str
    wanted: str
    measured: float | None
    met: bool | None
    low: float | None = None
    high: float | None = None


def targets(result: ServingResult) -> tuple[Target, ...]:
    """Return every target."""
    return tuple(_targets(result))


def _targets(result: ServingResult) -> Iterator[Target]:
    unseen = result.case(_UNSEEN)
    yield _at_least("unseen prompts, 1 worker: requests/s", 3000, _of(unseen, _per_s))
    for quantile, most in (("p95", 5.0), ("p99", 10.0)):
        found = _of(unseen, partial(half_ms, quantile=f"{quantile}_us"))
        yield _below(f"unseen prompts at half capacity: {quantile}, ms", most, found)
    for kind in _QUICK_KINDS:
        case = result.case(kind)
        name = "prompts seen before" if kind == "seen" else "features given"
        yield _at_least(f"{name}, 1 worker: requests/s", 10_000, _of(case, _per_s))
        yield _at_least(f"{name}: share of the echo's", 0.35, _of(case, partial(per_echo, result)))
    for workers in sorted({case.workers for case in result.cases} - {1}):
        wanted = 0.85 * workers
        yield _at_least(f"unseen prompts, {workers} workers: times one", wanted, scaling(result, _UNSEEN, workers))
    yield _below("start to ready, s", 2.0, _of(unseen, lambda case: case.of(lambda each: each.ready_s)))
    yield _below("memory of a worker, MB", 250.0, _of(unseen, lambda case: case.of(_worker_mb)))
    failed = [case.failed for case in result.cases if not case.name.startswith("echo")]
    yield _exactly("capacity: failed requests", 0, sum(failed) if failed else None)
    for one in result.gateway:
        name = "gateway, streamed" if one.stream else "gateway"
        yield _below(f"{name}: added to the median, ms", 1.5, _ms(one.added_us("p50_us")))
        yield _below(f"{name}: added to p99, ms", 6.0, _ms(one.added_us("p99_us")))
        yield _exactly(f"{name}: failed requests", 0, one.failed)
    if result.hit is not None:
        beyond = result.hit.of(lambda turn: turn.hit - turn.echo)
        yield _below(
            "exact hit in memory: CPU us of the application", 60.0, result.hit.of_application(lambda turn: turn.hit)
        )
        yield _below("exact hit in memory: CPU us beyond a bare echo's", 60.0, beyond)
    for fault in result.faults:
        yield _exactly(f"{fault.name}: failed decisions", 0, fault.failed)
        yield _exactly(f"{fault.name}: acknowledged rows lost", 0, fault.lost)
        back = None if fault.recovery_s is None else Spread(fault.recovery_s, fault.recovery_s, fault.recovery_s)
        yield _below(f"{fault.name}: recovery, s", 30.0, back, missing=False)
    soaked = result.soak
    if soaked is not None:
        name = f"{soaked.minutes:g} minutes at {soaked.rate:g} requests/s"
        yield _exactly(f"{name}: failed requests", 0, soaked.load.failed)
        slope = soaked.slope
        # An interval that reaches down to zero, or growth that a week does not notice; caches fill for some minutes.
        met = None if slope is None or soaked.minutes < _MIN_SOAK else slope.low <= 0.0 or slope.high < 1.0
        ends = (None, None, None) if slope is None else (slope.mb_per_h, slope.low, slope.high)
        yield Target(f"{name}: memory growth, MB/h", "flat", ends[0], met, *ends[1:])


def half_ms(case: CaseResult, quantile: str) -> Spread | None:
    """Return a quantile of the latency at half capacity, in milliseconds."""

    def of(each: Repeat) -> float:
        found: Quantiles | None = each.half.load.latency
        return float("nan") if found is None else getattr(found, quantile) / 1000.0

    return case.of(of)


def per_echo(result: ServingResult, case: CaseResult) -> Spread | None:
    """Return a case's requests a second as a share of the echo's, mean of before and after, with as many workers."""
    echoes = [result.case(name, case.workers) for name in (ECHO_BEFORE, ECHO_AFTER)]
    found = [each.per_s.median for each in echoes if each is not None]
    if not found:
        return None
    of, per_s = fmean(found), case.per_s
    return Spread(per_s.median / of, per_s.low / of, per_s.high / of)


def scaling(result: ServingResult, name: str, workers: int) -> Spread | None:
    """Return how many times the requests of one worker so many take."""
    one, many = result.case(name), result.case(name, workers)
    if one is None or many is None:
        return None
    return Spread(*(value / one.per_s.median for value in (many.per_s.median, many.per_s.low, many.per_s.high)))


def _of(case: CaseResult | None, what: Callable[[CaseResult], Spread | None]) -> Spread | None:
    return None if case is None else what(case)


def _per_s(case: CaseResult) -> Spread:
    return case.per_s


def _worker_mb(each: Repeat) -> float:
    return max(each.full.worker_mb, each.half.worker_mb)


def _ms(found: Spread) -> Spread:
    return Spread(found.median / 1000.0, found.low / 1000.0, found.high / 1000.0)


def _judged(
    name: str, wanted: str, found: Spread | None, reached: Callable[[float], bool], missing: bool | None = None
) -> Target:
    if found is None:
        return Target(name, wanted, None, missing)
    return Target(name, wanted, found.median, reached(found.median), found.low, found.high)


def _at_least(name: str, least: float, found: Spread | None) -> Target:
    return _judged(name, f"at least {least:,.10g}", found, lambda value: value >= least)


def _below(name: str, most: float, found: Spread | None, missing: bool | None = None) -> Target:
    return _judged(name, f"below {most:g}", found, lambda value: value < most, missing)


def _exactly(name: str, wanted: int, found: int | None) -> Target:
    return Target(name, str(wanted), found, None if found is None else found == wanted)
