"""What a simulated log can be told: one frozen value for each part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, get_args

from beast_ml.errors import InputError
from beast_ml.logs.schema import QUALITY_SOURCES, QualitySource
from beast_ml.logs.simulate.checks import check_between, check_count, check_one_of, check_positive, check_share

__all__ = [
    "ARRIVAL_KINDS",
    "POLICY_KINDS",
    "ArrivalConfig",
    "ArrivalKind",
    "FailureConfig",
    "LabelConfig",
    "LatencyConfig",
    "PolicyConfig",
    "PolicyKind",
    "SimulationConfig",
    "TrafficConfig",
]

PolicyKind = Literal["uniform", "epsilon-greedy", "softmax", "deterministic"]
"""Logging policies that can be simulated."""

ArrivalKind = Literal["poisson", "diurnal", "trace"]
"""How requests arrive."""

DelayKind = Literal["exponential", "lognormal"]

POLICY_KINDS: Final[tuple[PolicyKind, ...]] = get_args(PolicyKind)
"""All of `PolicyKind`."""

ARRIVAL_KINDS: Final[tuple[ArrivalKind, ...]] = get_args(ArrivalKind)
"""All of `ArrivalKind`."""

MONDAY: Final = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class PolicyConfig:
    """The policy that chose the models of the log.

    Parameters
    ----------
    kind
        ``uniform`` over the candidates; ``epsilon-greedy``: the preferred candidate, but with probability
        ``epsilon`` a uniform one; ``softmax`` of the mean utility over ``temperature``; ``deterministic``: always the
        preferred candidate.
    epsilon
        Share of exploration, 0..1.
    temperature
        Of the softmax, in units of quality.
    model
        The preferred model; by default the one of highest mean utility. Where it is not a candidate, the candidate
        of highest mean utility takes its place.
    per
        Whether mean utilities are taken over all queries (``model``) or over those of the same task (``task``).
    willingness_to_pay
        USD for one unit of quality: utility = quality - cost / willingness to pay. ``None``: quality alone.
    """

    kind: PolicyKind = "epsilon-greedy"
    epsilon: float = 0.05
    temperature: float = 0.1
    model: str | None = None
    per: Literal["model", "task"] = "model"
    willingness_to_pay: float | None = None

    def __post_init__(self) -> None:
        check_one_of("policy", self.kind, POLICY_KINDS)
        check_one_of("per", self.per, ("model", "task"))
        check_share("epsilon", self.epsilon)
        check_positive("temperature", self.temperature)
        if self.willingness_to_pay is not None:
            check_positive("willingness_to_pay", self.willingness_to_pay)


@dataclass(frozen=True)
class ArrivalConfig:
    """When requests arrive.

    Parameters
    ----------
    kind
        ``poisson``: a constant rate; ``diurnal``: a Poisson process whose rate follows the hour and the weekday;
        ``trace``: the times of a real trace, repeated as long as needed.
    start
        Time zero, aware.
    days
        The number of days in which the requests are expected to arrive; a trace keeps its own pace.
    amplitude
        Diurnal: relative swing of the rate over the day, 0..1.
    peak_hour
        Diurnal: UTC hour of the highest rate.
    weekend_factor
        Diurnal: rate on Saturday and Sunday, relative to the other days.
    trace
        A Parquet, CSV or JSONL file with a ``timestamp_s`` column.
    trace_speed
        2 plays the trace twice as fast.
    """

    kind: ArrivalKind = "poisson"
    start: datetime = MONDAY
    days: float = 7.0
    amplitude: float = 0.6
    peak_hour: float = 14.0
    weekend_factor: float = 0.5
    trace: Path | None = None
    trace_speed: float = 1.0

    def __post_init__(self) -> None:
        check_one_of("arrivals", self.kind, ARRIVAL_KINDS)
        if self.start.tzinfo is None:
            raise InputError(
                f"`start` == {self.start.isoformat()} has no time zone; give one, e.g. {MONDAY.isoformat()}"
            )
        for name in ("days", "weekend_factor", "trace_speed"):
            check_positive(name, getattr(self, name))
        check_share("amplitude", self.amplitude)
        check_between("peak_hour", self.peak_hour, 0.0, 24.0)
        if (self.kind == "trace") != (self.trace is not None):
            raise InputError(f"`arrivals` == {self.kind!r} and `trace` == {self.trace}: a trace file goes with 'trace'")

    @property
    def start_us(self) -> int:
        """Time zero in microseconds since 1970."""
        return (self.start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@dataclass(frozen=True)
class TrafficConfig:
    """Who asks what.

    Parameters
    ----------
    tenants, users
        How many there are; users are shared out among the tenants by size, at least one each.
    tenant_zipf, user_zipf
        The k-th largest tenant, and the k-th most active user of a tenant, ask in proportion to k**-exponent.
    task_concentration
        How alike the tenants' task mixes are: a mix is a Dirichlet draw around the outcome set's own mix; small
        values make specialists, large ones make tenants alike.
    repeat_zipf
        The k-th most popular query is asked in proportion to k**-exponent; 0 makes all equally popular.
    paraphrase_share
        Share of requests whose prompt is lightly reworded (see `beast_ml.logs.simulate.text`).
    rejected_rate
        Share of requests turned away before routing.
    """

    tenants: int = 10
    users: int = 500
    tenant_zipf: float = 1.0
    user_zipf: float = 1.0
    task_concentration: float = 2.0
    repeat_zipf: float = 1.0
    paraphrase_share: float = 0.0
    rejected_rate: float = 0.0

    def __post_init__(self) -> None:
        check_count("tenants", self.tenants)
        check_count("users", self.users)
        for name in ("tenant_zipf", "user_zipf", "repeat_zipf"):
            check_between(name, getattr(self, name), 0.0, 10.0)
        check_positive("task_concentration", self.task_concentration)
        check_share("paraphrase_share", self.paraphrase_share)
        check_share("rejected_rate", self.rejected_rate)


@dataclass(frozen=True)
class FailureConfig:
    """How calls fail, and who steps in.

    Parameters
    ----------
    rate
        Mean probability, over the models, that one call fails.
    spread
        Models differ: a model's rate is ``rate`` times a log-normal draw of mean one and this log-scale.
    model_rates
        Exact rates of some models; these override the draw.
    timeout_share
        Share of failures that are timeouts.
    timeout_s
        How long a call that times out is waited for, in seconds.
    max_attempts
        Calls made for one request at most: the chosen model, then others by the policy's preference.
    """

    rate: float = 0.0
    spread: float = 0.5
    model_rates: Mapping[str, float] = field(default_factory=dict)
    timeout_share: float = 0.3
    timeout_s: float = 60.0
    max_attempts: int = 2

    def __post_init__(self) -> None:
        check_share("failure_rate", self.rate)
        check_between("failure_spread", self.spread, 0.0, 5.0)
        for model, rate in self.model_rates.items():
            check_share(f"failure rate of {model}", rate)
        check_share("timeout_share", self.timeout_share)
        check_positive("timeout_s", self.timeout_s)
        check_count("max_attempts", self.max_attempts)


@dataclass(frozen=True)
class LatencyConfig:
    """How long calls take where the outcome set does not say: overhead + output tokens / speed.

    Parameters
    ----------
    tokens_per_s, overhead_s
        The median over models of the output speed and of the time to the first token.
    spread
        Log-scale of the differences between models in both.
    assumed_output_tokens
        Used where neither the call's nor its model's output tokens are known.
    jitter
        Log-scale of the noise of a single call around its expected latency (mean one), also where that is known.
    """

    tokens_per_s: float = 60.0
    overhead_s: float = 0.4
    spread: float = 0.4
    assumed_output_tokens: int = 200
    jitter: float = 0.15

    def __post_init__(self) -> None:
        check_positive("tokens_per_s", self.tokens_per_s)
        check_positive("overhead_s", self.overhead_s)
        check_between("latency spread", self.spread, 0.0, 5.0)
        check_count("assumed_output_tokens", self.assumed_output_tokens)
        check_between("jitter", self.jitter, 0.0, 5.0)


@dataclass(frozen=True)
class LabelConfig:
    """Which answers get a quality label, and when.

    Parameters
    ----------
    share
        Share of the answered requests that are ever labelled, at random.
    mean_delay_h
        Mean hours from the answer to its label.
    delay
        Distribution of that delay (log-normal has log-scale 1: a longer tail).
    source
        What the log calls the origin of the label.
    """

    share: float = 1.0
    mean_delay_h: float = 0.0
    delay: DelayKind = "exponential"
    source: QualitySource = "judge"

    def __post_init__(self) -> None:
        check_share("label_share", self.share)
        check_between("label_delay_h", self.mean_delay_h, 0.0, 24.0 * 365)
        check_one_of("delay", self.delay, get_args(DelayKind))
        check_one_of("source", self.source, QUALITY_SOURCES)


@dataclass(frozen=True)
class SimulationConfig:
    """A whole simulated log: how many requests, and how each part of it behaves.

    Parameters
    ----------
    requests
        Length of the log.
    min_candidates
        Queries with fewer known outcomes are never asked: one candidate leaves nothing to choose. A pool of fewer
        models than that is taken as it is.
    chunk_rows
        Requests made at a time; bounds the memory and changes nothing else.
    policy, arrivals, traffic, failures, latency, labels
        Who chooses, when requests come, whose and which they are, what fails, how long answers take, and who
        judges them.
    """

    requests: int = 100_000
    min_candidates: int = 2
    policy: PolicyConfig = PolicyConfig()
    arrivals: ArrivalConfig = ArrivalConfig()
    traffic: TrafficConfig = TrafficConfig()
    failures: FailureConfig = field(default_factory=FailureConfig)
    latency: LatencyConfig = LatencyConfig()
    labels: LabelConfig = LabelConfig()
    chunk_rows: int = 20_000

    def __post_init__(self) -> None:
        check_count("requests", self.requests)
        check_count("min_candidates", self.min_candidates)
        check_count("chunk_rows", self.chunk_rows)
