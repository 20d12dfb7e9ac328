"""All parts together."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from beast_ml.domain import Price
from beast_ml.domain.endpoint import ModelLimits
from beast_ml.settings.cache import CacheSettings
from beast_ml.settings.candidates import CandidateSettings, EndpointSettings
from beast_ml.settings.learning import ExplorationSettings, LearningSettings, LogSettings
from beast_ml.settings.registry import GateSettings, TrackingSettings
from beast_ml.settings.serving import BudgetSettings, ServingSettings

__all__ = ["Settings"]

_REGION: Final = r"^[A-Za-z0-9_.-]*$"


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
    region_round_trips_s: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = Field(
        default_factory=dict
    )
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
