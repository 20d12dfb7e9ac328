"""`beast lineage`: from a decision back to the run, the data and the code that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table
from beast_ml.errors import InputError

__all__ = ["app"]

app = typer.Typer()

_COLUMNS: Final = (
    "request_id", "received_at", "tenant_id", "chosen_model", "propensity", "served_model", "status", "request_kind",
    "cache_result", "policy_version", "experiment_id", "variant", "predicted_quality", "predicted_cost_usd", "quality",
    "cost_usd", "latency_s",
)  # fmt: skip


@app.command()
def lineage(
    request_id: Annotated[str, typer.Argument(help="The id of a request, as its answer told it.")],
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what decided a request: the router's version, its training, the data and the code that made it.

    A request that no router decided, such as an answer of the cache, has its decision alone.
    """
    from beast_ml.logs.store import LogStore
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.lineage import lineage_of
    from beast_ml.settings import load_settings

    settings = load_settings()
    decision = _decision(LogStore(store or settings.logs.store), request_id)
    digest = decision["policy_version"]
    made = None if digest is None else lineage_of(digest, TrackingConfig(**settings.tracking.model_dump())).to_dict()
    if as_json:
        print_json({"decision": decision, "router": made})
        return
    print_table(
        "The decision", ("what", "is"), [(name, value) for name, value in decision.items() if value is not None]
    )
    if made is not None:
        print_table("The router", ("what", "is"), _rows(made))


def _decision(log: Any, request_id: str) -> dict[str, Any]:
    from beast_ml.logs.sql_values import text_sql

    found = log.requests(list(_COLUMNS), where=f"request_id = {text_sql(request_id)}").to_pylist()
    if not found:
        raise InputError(
            f"no request {request_id!r} is in {log.path}: give the id that an answer told (`request_id`, or the header "
            "x-beast-request-id); rows of the last minutes get there by `beast logs compact`, once "
            "the server has sealed their segment, which it does when it stops, too"
        )
    decision: dict[str, Any] = found[0]
    return decision | {"received_at": decision["received_at"].isoformat()}


def _rows(made: dict[str, Any]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("version of beast-router", made["version"]),
        ("aliases", ", ".join(made["aliases"]) or "-"),
        *((name, f"version {version}") for name, version in made["parts"].items()),
        ("digest of the bundle", made["digest"]),
        ("run", f"{made['run_name']} ({made['run_id']})"),
        ("trained", made["trained_at"]),
        ("digest of the data", made["data_digest"] or "-"),
        *((f"data, {context or 'training'}", f"{name}, {digest}") for context, name, digest in made["data"]),
        ("beast-ml", made["package_version"] or "not recorded"),
        ("code", _code(made)),
    ]
    return rows


def _code(made: dict[str, Any]) -> str:
    if made["commit"] is None:
        return "the installed release: no commit was known"
    return f"commit {made['commit']}" + (", with changes that it does not hold" if made["is_changed"] else "")
