"""One typed `Settings`, read once from ``mlflow.yaml`` and ``BEAST_*`` variables.

``mlflow.yaml`` is looked for in the working directory, then at the path in ``BEAST_CONFIG``; without either the
built-in defaults hold. A variable wins over the file: ``BEAST_TRACKING__URI`` sets ``tracking.uri``. Only the
command line, the pipelines and the application factory read settings; library code is handed its own frozen part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnparsableError

from beast_ml.domain import Price
from beast_ml.domain.endpoint import CAPABILITIES, Endpoint, ModelLimits
from beast_ml.errors import SettingsError
from beast_ml.places import place

__all__ = [
    "BudgetSettings",
    "CacheSettings",
    "CandidateSettings",
    "EndpointSettings",
    "ExplorationSettings",
    "GateSettings",
    "LearningSettings",
    "LogSettings",
    "ServingSettings",
    "Settings",
    "TrackingSettings",
    "load_settings",
]


_REGION: Final = r"^[A-Za-z0-9_.-]*$"
_CONFIDENTIAL: Final = frozenset({"admin_key", "secret", "database_url", "redis_url", "home_redis_url"})
_OTHER_VARIABLES: Final = frozenset({"BEAST_CONFIG", "BEAST_CACHE_DIR", "BEAST_DATA_DIR"})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrackingSettings(_Part):
    """Where MLflow keeps runs and models.

    Parameters
    ----------
    uri
        SQLite file, or address of an MLflow server.
    artifacts
        Folder of a SQLite registry's files.
    experiment
        In which runs are recorded.
    """

    uri: str = "sqlite:///mlflow.db"
    artifacts: Path = Path("mlartifacts")
    experiment: str = "beast-ml"


class GateSettings(_Part):
    """What a router must prove before it becomes champion.

    Parameters
    ----------
    quality_margin
        Most quality that it may lose (95% bound) when it costs less.
    max_excess_ece
        Most calibration error beyond what sampling alone gives.
    min_coverage, max_coverage
        Bounds of the share of costs inside their 90% intervals.
    min_test_queries
        With fewer nothing is proved.
    """

    quality_margin: float = Field(0.01, ge=0, le=1)
    max_excess_ece: float = Field(0.03, ge=0, le=1)
    min_coverage: float = Field(0.80, ge=0, le=1)
    max_coverage: float = Field(0.98, ge=0, le=1)
    min_test_queries: int = Field(200, ge=1)


class ExplorationSettings(_Part):
    """What routers that learn from logs may spend on trying what they know too little.

    Bounds hold for each request, by the router's own predictions; see `beast_ml.policy.exploration.Exploration`.

    Parameters
    ----------
    max_loss
        Expected quality given up, costs counted at the willingness to pay.
    max_extra_cost_usd
        Expected USD beyond what the router's choice costs; None: no bound.
    max_rate
        Probability that another model than the router's choice is taken.
    min_propensity
        Least probability with which a model is tried, so that no off-policy weight is above 1 / this.
    """

    max_loss: float = Field(gt=0, le=1)
    max_extra_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False)
    max_rate: float = Field(0.2, gt=0, lt=1)
    min_propensity: float = Field(0.01, ge=1e-4, le=0.5)


class LearningSettings(_Part):
    """How the loop that improves the router goes; see `beast_ml.operations.learning_loop.config.LoopConfig`.

    Parameters
    ----------
    state
        Folder of its state, and of the drift monitor's.
    every_days
        Days between regular cycles; drift does not wait.
    min_labelled
        New labelled requests before anything is learnt.
    requests
        A candidate learns from so many requests of the log at most; 0: all.
    canary_share, canary_margin
        Share of the users whom a candidate serves, and the harm in quality that they must exclude.
    watch_share, watch_days
        Share of the users whom the former champion keeps after a promotion, and for how long.
    longest_days
        A step that waits longer is given up.
    encoder
        Of the candidates: static, tuned, minilm or hashing.
    """

    state: Path = Path("data/learning")
    every_days: float = Field(7.0, gt=0, allow_inf_nan=False)
    min_labelled: int = Field(1_000, ge=1)
    requests: int = Field(100_000, ge=0)
    canary_share: float = Field(0.2, gt=0, le=0.5)
    canary_margin: float = Field(0.02, ge=0, le=1)
    watch_share: float = Field(0.1, gt=0, le=0.5)
    watch_days: float = Field(7.0, gt=0, allow_inf_nan=False)
    longest_days: float = Field(21.0, gt=0, allow_inf_nan=False)
    encoder: Literal["static", "tuned", "minilm", "hashing"] = "static"


class LogSettings(_Part):
    """Where routed-request logs are kept.

    Parameters
    ----------
    store
        Folder of routed requests, Parquet partitioned by day; in an object store (``s3://...``) it can be read only.
    quarantine
        Folder of bad rows, with the reason beside each.
    """

    store: Annotated[Path, PlainValidator(place)] = Path("data/logs")
    quarantine: Path = Path("data/quarantine")


class CandidateSettings(_Part):
    """What a candidate model costs: by token, or by the hour of its machine; or its name in the public price list.

    Parameters
    ----------
    name
        As the logs write it.
    input_usd_per_mtok, output_usd_per_mtok
        USD per million tokens; both or none.
    usd_per_request
        USD for every call beside them.
    usd_per_hour
        Of a self-hosted model's machine, with what it yields: ``output_tokens_per_s`` (and ``input_tokens_per_s``), or
        the mean number of requests in flight, ``concurrency``.
    listed_as
        Its name in ``genai-prices``, such as ``openai/gpt-4o``.
    context_tokens, max_output_tokens
        Most tokens of prompt and answer together, and of the answer.
    capabilities
        Which of ``tools``, ``vision`` and ``json`` it has; all where nothing is said.
    """

    name: str
    input_usd_per_mtok: float | None = Field(None, ge=0, allow_inf_nan=False)
    output_usd_per_mtok: float | None = Field(None, ge=0, allow_inf_nan=False)
    usd_per_request: float = Field(0.0, ge=0, allow_inf_nan=False)
    usd_per_hour: float | None = Field(None, ge=0, allow_inf_nan=False)
    output_tokens_per_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    input_tokens_per_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    concurrency: float | None = Field(None, gt=0, allow_inf_nan=False)
    listed_as: str | None = None
    context_tokens: int | None = Field(None, ge=1)
    max_output_tokens: int | None = Field(None, ge=1)
    capabilities: frozenset[str] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_token = self.input_usd_per_mtok is not None or self.output_usd_per_mtok is not None
        if by_token + (self.usd_per_hour is not None) + (self.listed_as is not None) != 1:
            raise ValueError(
                f"{self.name!r} needs one of: input_usd_per_mtok with output_usd_per_mtok, usd_per_hour, listed_as"
            )
        if by_token and (self.input_usd_per_mtok is None or self.output_usd_per_mtok is None):
            raise ValueError(f"{self.name!r} needs both input_usd_per_mtok and output_usd_per_mtok")
        yields = (self.output_tokens_per_s, self.input_tokens_per_s, self.concurrency)
        if self.usd_per_hour is None and any(value is not None for value in yields):
            raise ValueError(f"{self.name!r} has a throughput or a concurrency, which go with usd_per_hour")
        if self.usd_per_request and not by_token:
            raise ValueError(f"{self.name!r} has usd_per_request, which goes with prices by token")
        unknown = sorted((self.capabilities or frozenset()) - set(CAPABILITIES))
        if unknown:
            raise ValueError(f"{self.name!r} has no capability {unknown[0]!r}: there are {', '.join(CAPABILITIES)}")
        self.price()
        return self

    def limits(self) -> ModelLimits:
        """Return what it can take."""
        return ModelLimits(self.context_tokens, self.max_output_tokens, self.capabilities)

    def price(self) -> Price | None:
        """Return the price given here; None where it stands in the public list."""
        if self.usd_per_hour is not None:
            return Price.of_machine(
                self.usd_per_hour,
                output_tokens_per_s=self.output_tokens_per_s,
                input_tokens_per_s=self.input_tokens_per_s,
                concurrency=self.concurrency,
            )
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        return Price(self.input_usd_per_mtok, self.output_usd_per_mtok, usd_per_request=self.usd_per_request)


class EndpointSettings(_Part):
    """Where a candidate answers; see `beast_ml.domain.endpoint.Endpoint`.

    Parameters
    ----------
    name
        Of the endpoint, in logs and headers.
    model
        The candidate that answers there.
    base_url
        OpenAI-compatible, with ``/v1``.
    provider_model
        What the provider calls the model; empty: the same.
    api_key_env
        Environment variable that holds the provider's key; empty: none is sent.
    region
        Where it stands: for the log, and to be near or far from the deployment's own ``region``; empty: near.
    timeout_s
        Seconds to wait for the first token, and for each next one.
    """

    name: str
    model: str
    base_url: str
    provider_model: str = ""
    api_key_env: str = ""
    region: str = ""
    timeout_s: float = Field(60.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _valid(self) -> Self:
        self.endpoint()
        return self

    def endpoint(self) -> Endpoint:
        """Return it in the words of the domain."""
        return Endpoint(**self.model_dump())


class BudgetSettings(_Part):
    """A limit on what may be spent.

    Parameters
    ----------
    scope
        ``global``, each ``tenant``, or each ``user`` of a tenant.
    key
        The tenant, or ``tenant/user``; ``*``: each one has this budget for itself.
    period
        ``day`` or ``month``, UTC.
    limit_usd
        The hard limit: what would overspend it is refused.
    soft_share
        The share of it from which on cheaper models are preferred, more and more.
    """

    scope: Literal["global", "tenant", "user"]
    key: str = "*"
    period: Literal["day", "month"] = "day"
    limit_usd: float = Field(ge=0, allow_inf_nan=False)
    soft_share: float = Field(0.8, gt=0, le=1)


class CacheSettings(_Part):
    """Which answers `beast serve` gives again, and for how long; off unless it is switched on.

    Parameters
    ----------
    enabled
        Whether there is a cache.
    secret
        Key of its keys, at least 16 random bytes, the same on all hosts that share tiers: ``BEAST_CACHE__SECRET``.
        There is no default, for whoever knows it can try prompts against keys.
    life_s, lives_s
        Seconds that an answer is kept, and the same for single kinds of request.
    refusal_life_s, error_life_s
        Seconds that refusals, and errors that are the request's own fault, are kept; 0: not at all.
    memory_mb, memory_entries
        Bounds of the first tier, of each worker.
    memory_looked_at
        Entries that are compared to find the one of least value, which leaves when that is full.
    tenant_mb, tenant_entries
        Most that one tenant may keep in each shared tier: Valkey where ``redis_url`` is set, and PostgreSQL where
        ``database_url`` is, else a SQLite file in the state folder.
    per_user
        Keep the users of a tenant apart, as tenants are.
    max_temperature
        Requests with a higher one want another answer each time.
    max_wait_s
        Seconds that a request waits for the answer to an equal one that came before it.
    semantic
        Whether alike requests may get each other's answers, too.
    trained
        Folder of the trained cache that this takes, as `beast cache build` writes it; None: the one in the router's
        bundle.
    shared_vectors
        Whether hosts that share ``database_url``, a PostgreSQL with pgvector, find each other's entries at once, and
        not when the index is rebuilt; each miss then takes the encoder and a query.
    epsilon, delta
        Wrong semantic hits over lookups, at most, with confidence 1 - delta.
    judge
        What verifies cached answers by new ones: ``equal`` (the same words), or the name of a model that has an
        endpoint. None: nothing does, and the threshold stays where labelled pairs have put it.
    audit_share
        Share of semantic hits that are verified, each at the price of an answer.
    age_share
        Share of equal requests' hits that are verified, too: what `beast cache lives` learns lives from.
    warm_every_s, warm_usd
        Seconds between rounds in which what is likely to be asked is answered in advance, 0: none; and what a round may
        cost. One goes at once where the last tier has lost all.
    regions
        Whether regions give each other their answers, over the home region's Valkey, and know of each other's
        invalidations; False: each has a cache of its own.
    lifetimes
        File of lives by kind of request, as `beast cache lives` writes it, for kinds that are not in ``lives_s``; none
        longer than ``life_s``.
    """

    enabled: bool = False
    secret: SecretStr | None = Field(None, min_length=16)
    life_s: float = Field(86_400.0, ge=0, allow_inf_nan=False)
    lives_s: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    refusal_life_s: float = Field(300.0, ge=0, allow_inf_nan=False)
    error_life_s: float = Field(5.0, ge=0, allow_inf_nan=False)
    memory_mb: int = Field(256, ge=1)
    memory_entries: int = Field(50_000, ge=1)
    memory_looked_at: int = Field(8, ge=1, le=1000)
    tenant_mb: int = Field(1024, ge=1)
    tenant_entries: int = Field(200_000, ge=1)
    per_user: bool = False
    max_temperature: float = Field(1.0, ge=0, allow_inf_nan=False)
    max_wait_s: float = Field(30.0, gt=0, allow_inf_nan=False)
    semantic: bool = False
    trained: Path | None = None
    shared_vectors: bool = False
    epsilon: float = Field(0.01, gt=0, lt=1)
    delta: float = Field(0.02, gt=0, lt=1)
    judge: str | None = Field(None, min_length=1)
    audit_share: float = Field(0.05, gt=0, le=1)
    age_share: float = Field(0.0, ge=0, le=1)
    warm_every_s: float = Field(0.0, ge=0, allow_inf_nan=False)
    warm_usd: float = Field(1.0, ge=0, allow_inf_nan=False)
    regions: bool = False
    lifetimes: Path | None = None


class ServingSettings(_Part):
    """How `beast serve` serves.

    Parameters
    ----------
    router
        Bundle folder, or registry address whose alias is followed.
    state
        Folder of what must outlive a restart: segments of the request log, keys, budgets, the last good bundle.
    poll_s
        Seconds between looks at the registry.
    max_body_bytes, max_json_depth
        Larger or deeper requests are refused.
    requests_per_s
        Of each tenant; None: no limit.
    drain_s
        Seconds that requests in flight get to end when the server is told to stop.
    prompts
        What the log keeps of a prompt: ``keep`` its text, ``hash`` it with a key, or ``withhold`` it.
    prompts_of
        The same, for single tenants.
    sync_s
        Seconds after which a logged row is on the disk (and not just with the operating system) at the latest.
    compact_s
        Seconds between compactions of the log's segments into the store; 0: only `beast logs compact` does it.
    keep_logs_days
        Days after which stored requests are deleted; None: never.
    host, port
        Where it listens.
    workers
        Processes; one a core.
    workers_max
        As many as load may raise them to, after seconds; down again after minutes of calm. None: there are `workers`.
    """

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    workers_max: int | None = Field(None, ge=1)
    router: str = "models:/beast-router@champion"
    state: Path = Path("data/serving")
    poll_s: float = Field(5.0, gt=0, allow_inf_nan=False)
    max_body_bytes: int = Field(2_000_000, ge=1_000)
    max_json_depth: int = Field(64, ge=4)
    requests_per_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    drain_s: float = Field(30.0, ge=0, allow_inf_nan=False)
    prompts: Literal["keep", "hash", "withhold"] = "keep"
    prompts_of: dict[str, Literal["keep", "hash", "withhold"]] = {}
    sync_s: float = Field(0.2, gt=0, allow_inf_nan=False)
    compact_s: float = Field(300.0, ge=0, allow_inf_nan=False)
    keep_logs_days: int | None = Field(None, ge=1)


class Settings(BaseSettings):
    """Everything a deployment can set.

    Parameters
    ----------
    tracking, gates, logs, learning, serving, cache
        One part of the system each.
    endpoints
        Where candidates answer, for the gateway.
    budgets
        Hard limits on spending.
    candidates
        Prices and limits of your own candidates.
    """

    # BEAST_SERVING__PORT sets serving.port.
    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="BEAST_", env_nested_delimiter="__")

    tracking: TrackingSettings = TrackingSettings()
    gates: GateSettings = GateSettings()
    logs: LogSettings = LogSettings()
    learning: LearningSettings = LearningSettings()
    exploration: ExplorationSettings | None = None
    """How routers that learn from logs explore; None: not at all."""
    serving: ServingSettings = ServingSettings()
    cache: CacheSettings = CacheSettings()
    endpoints: tuple[EndpointSettings, ...] = ()
    budgets: tuple[BudgetSettings, ...] = ()
    redis_url: str | None = None
    """Valkey or Redis that workers of several hosts share; None: each host for itself."""
    database_url: str | None = None
    """PostgreSQL for keys and budgets of several hosts; None: a SQLite file in the state folder."""
    admin_key: SecretStr | None = None
    """What admin calls authenticate with; None: one is made and kept in the state folder."""
    secret: SecretStr | None = Field(None, min_length=16)
    """Key of request ids and prompt hashes, the same on all hosts; None: one is made and kept in the state folder."""
    region: str = Field("", pattern=_REGION, max_length=64)
    """Where this deployment stands: endpoints of the same region are called first; empty: all are as near."""
    region_round_trips_s: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = {}
    """Seconds to and fro between regions, by the one and the other; 0.1 where nothing is said."""
    home_region: str = Field("", pattern=_REGION, max_length=64)
    """Where the budgets of all regions, and invalidations of their caches, are at home; empty: there are no regions."""
    home_redis_url: str | None = None
    """Valkey of the home region, as it is reached from here."""
    home_life_s: float = Field(3600.0, gt=0, allow_inf_nan=False)
    """Seconds without an answer of the home after which another region spends no more of what it has leased."""
    candidates: tuple[CandidateSettings, ...] = ()
    kinds: dict[str, str] = {}
    """Task (or its beginning and ``*``) -> kind of request, beside `beast_ml.features.kinds.KINDS`."""

    @model_validator(mode="after")
    def _has_a_region(self) -> Self:
        if (self.home_redis_url is None) == bool(self.home_region):
            raise ValueError("`home_region` and `home_redis_url` go together: set both, or neither")
        if self.home_region and not self.region:
            raise ValueError("`home_region` is set, but this deployment has no region: set `region` (BEAST_REGION)")
        if self.cache.regions and not self.home_region:
            raise ValueError("`cache.regions` is true, but there are none: set `home_region` and `home_redis_url`")
        return self

    def prices(self) -> dict[str, Price]:
        """Return the prices that are given here, by candidate."""
        priced = {candidate.name: candidate.price() for candidate in self.candidates}
        return {name: price for name, price in priced.items() if price is not None}

    def limits(self) -> dict[str, ModelLimits]:
        """Return what the candidates named here can take."""
        return {candidate.name: candidate.limits() for candidate in self.candidates}

    def listed_names(self) -> dict[str, str]:
        """Return what candidates are called in the public price list, where it is said."""
        return {each.name: each.listed_as for each in self.candidates if each.listed_as is not None}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let variables win over the file, which arrives as init arguments."""
        return env_settings, init_settings


def load_settings(directory: Path | None = None) -> Settings:
    """Return the settings that hold in a directory (default: the working directory).

    Raises
    ------
    SettingsError
        If the file cannot be parsed, or a value is unknown or out of range.
    """
    _refuse_unknown_variables()
    path = _find(directory or Path.cwd())
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8")) if path else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds a {type(content).__name__}, must be a mapping of settings")
    try:
        return Settings(**{str(name): value for name, value in content.items()})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        source = _source(first["loc"], path)
        raise SettingsError(
            f"`{name or 'settings'}` in {source}: {first['msg']}{_got(first['loc'], first['input'])}"
        ) from error
    except UnparsableError as error:
        raise SettingsError(f"a BEAST_* variable is no JSON: {error}; set single values as BEAST_PART__NAME") from error


def _got(location: Sequence[int | str], value: object) -> str:
    """Return the wrong value; not all settings at once, nor what may be or hold a password."""
    return f" (got {value!r})" if location and location[-1] not in _CONFIDENTIAL else ""


def _source(location: Sequence[int | str], path: Path | None) -> str:
    """Return where a wrong value came from: the variable that sets it or its part, else the file."""
    names = [str(part).upper() for part in location]
    set_here = {name.upper() for name in os.environ}
    for n in range(len(names), 0, -1):
        variable = f"BEAST_{'__'.join(names[:n])}"
        if variable in set_here:
            return variable
    return str(path or "the BEAST_* variables")


def _refuse_unknown_variables() -> None:
    """Refuse a ``BEAST_*`` variable that sets nothing: a mistyped one would otherwise be passed over in silence."""
    for variable in sorted(os.environ):
        part = variable.removeprefix("BEAST_").lower().split("__")[0]
        if variable.startswith("BEAST_") and variable not in _OTHER_VARIABLES and part not in Settings.model_fields:
            raise SettingsError(
                f"{variable} sets nothing: settings are {', '.join(sorted(Settings.model_fields))}, and a part of one "
                "is written with two underscores, as in BEAST_TRACKING__URI"
            )


def _find(directory: Path) -> Path | None:
    local = directory / "mlflow.yaml"
    if local.is_file():
        return local
    named = os.environ.get("BEAST_CONFIG")
    if not named:
        return None
    if not Path(named).is_file():
        raise SettingsError(f"BEAST_CONFIG is {named!r}, which is no file: point it at an mlflow.yaml")
    return Path(named)
