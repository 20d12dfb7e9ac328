"""From the file and the variables to the settings; what is wrong is said with where it stands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from pydantic_settings import SettingsError as UnparsableError

from beast_ml.errors import SettingsError
from beast_ml.settings.everything import Settings

__all__ = ["load_settings"]

_CONFIDENTIAL: Final = frozenset({"admin_key", "secret", "database_url", "redis_url", "home_redis_url"})
_OTHER_VARIABLES: Final = frozenset({"BEAST_CONFIG", "BEAST_CACHE_DIR", "BEAST_DATA_DIR"})


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
