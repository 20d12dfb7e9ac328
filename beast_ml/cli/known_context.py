"""What a router may read of a request beside its text, as options of the commands that train one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from beast_ml.logs.outcomes import ContextKey

__all__ = ["UseApp", "UseTask", "known_context"]

UseTask = Annotated[bool, typer.Option("--use-task", help="Let the router read the task of a request, where known.")]
"""The option `--use-task`."""

UseApp = Annotated[bool, typer.Option("--use-app", help="Let the router read which app asks, where known.")]
"""The option `--use-app`."""


def known_context(use_task: bool, use_app: bool) -> tuple[ContextKey, ...]:
    """Return the context keys that features are made of."""
    asked: dict[ContextKey, bool] = {"task": use_task, "app": use_app}
    return tuple(key for key, is_read in asked.items() if is_read)
