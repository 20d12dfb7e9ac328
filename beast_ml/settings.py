"""One typed `Settings`, read once from ``mlflow.yaml`` and ``BEAST_*`` variables.

``mlflow.yaml`` is looked for in the working directory, then at the path in ``BEAST_CONFIG``; without either the
built-in defaults hold. A variable wins over the file: ``BEAST_TRACKING__URI`` sets ``tracking.uri``. Only the
command line, the pipelines and the application factory read settings; library code is handed its own frozen part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnparsableError

from beast_ml.domain import Price
from beast_ml.errors import SettingsError

__all__ = ["CandidateSettings", "GateSettings", "LogSettings", "Settings", "TrackingSettings", "load_settings"]


_OTHER_VARIABLES: Final = frozenset({"BEAST_CONFIG", "BEAST_CACHE_DIR", "BEAST_DATA_DIR"})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrackingSettings(_Part):
    """Where MLflow keeps runs and models."""

    uri: str = "sqlite:///mlflow.db"
    artifacts: Path = Path("mlartifacts")
    experiment: str = "beast-ml"


class GateSettings(_Part):
    """What a router must prove before it becomes champion."""

    quality_margin: float = Field(0.01, ge=0, le=1)
    max_excess_ece: float = Field(0.03, ge=0, le=1)
    min_coverage: float = Field(0.80, ge=0, le=1)
    max_coverage: float = Field(0.98, ge=0, le=1)
    min_test_queries: int = Field(200, ge=1)


class LogSettings(_Part):
    """Where routed-request logs are kept."""

    store: Path = Path("data/logs")
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
        self.price()
        return self

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


class Settings(BaseSettings):
    """Everything a deployment can set."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="BEAST_", env_nested_delimiter="__")

    tracking: TrackingSettings = TrackingSettings()
    gates: GateSettings = GateSettings()
    logs: LogSettings = LogSettings()
    candidates: tuple[CandidateSettings, ...] = ()
    kinds: dict[str, str] = {}
    """Task (or its beginning and ``*``) -> kind of request, beside `beast_ml.features.kinds.KINDS`."""

    def prices(self) -> dict[str, Price]:
        """Return the prices that are given here, by candidate."""
        priced = {candidate.name: candidate.price() for candidate in self.candidates}
        return {name: price for name, price in priced.items() if price is not None}

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
        raise SettingsError(f"`{name}` in {source}: {first['msg']} (got {first.get('input')!r})") from error
    except UnparsableError as error:
        raise SettingsError(f"a BEAST_* variable is no JSON: {error}; set single values as BEAST_PART__NAME") from error


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
