"""`beast logs forget`: a tenant's requests, or their texts alone, deleted wherever this host keeps them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say
from beast_ml.cli.past_time import past_time
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.logs.forgotten import Named
    from beast_ml.settings import Settings

__all__ = ["forget_logs"]


def forget_logs(
    tenant: Annotated[str, typer.Option(help="Whose requests.")],
    user: Annotated[str | None, typer.Option(help="Of these, one user's alone.")] = None,
    before: Annotated[
        str | None, typer.Option(help="Received before this time, such as 2026-11-25 or 30d (ago); default: now.")
    ] = None,
    prompts_only: Annotated[
        bool, typer.Option("--prompts-only", help="Delete the texts, and keep the rows: costs, models, outcomes.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a tenant's requests, or their texts, from log, quarantine and cache; a server may run meanwhile.

    Tells what it cannot reach: backups made before still hold it, and `beast restore` deletes it again out of these.
    """
    from beast_ml.logs.forgotten import Named
    from beast_ml.settings import load_settings

    now = datetime.now(UTC)
    until = now if before is None else past_time("--before", before)
    if until > now:
        raise InputError(f"`--before` == {before!r} is to come: what is forgotten has been received")
    whose = Named(tenant, user, until, prompts_only)
    settings = load_settings()
    if not dry_run and not yes:
        counted = _forgotten(settings, whose, dry_run=True)
        if not as_json:
            _show(counted, whose)
        typer.confirm("Delete this for good?", abort=True, err=True)
    done = _forgotten(settings, whose, dry_run=dry_run)
    if as_json:
        print_json(asdict(done) | {"tenant": tenant, "user": user, "before": until.isoformat(), "dry_run": dry_run})
        return
    _show(done, whose)


@dataclass(frozen=True)
class _Done:
    """What went, or would, and what was not reached."""

    counts: dict[str, int]
    not_reached: list[str]
    is_dry_run: bool


def _forgotten(settings: Settings, whose: Named, *, dry_run: bool) -> _Done:
    from beast_ml.logs.forget import LogFolders, forget
    from beast_ml.logs.forgotten import FORGOTTEN_FILE, remember_forgotten
    from beast_ml.operations.backup.take import known_folders

    state = settings.serving.state
    folders = LogFolders(settings.logs.store, state / "segments", settings.logs.quarantine)
    if not (folders.store.is_dir() or state.is_dir()):
        raise InputError(f"there is no log: neither {folders.store} nor {state} is there; run this beside mlflow.yaml")
    left: list[str] = []
    backups = known_folders(state)
    if not dry_run:  # first: whatever is killed after this, a restore will not bring it back
        one = whose.hashed()
        remembered = [state] if state.is_dir() else []
        for parent in [*remembered, *backups]:
            if parent.is_dir():
                remember_forgotten(parent / FORGOTTEN_FILE, one)
            else:
                left.append(f"{parent}: backups that are not here now do not know of this; forget again when they are")
    waiting = "{} segments that hold some of it are being written: waiting until they are sealed, within a minute"
    done = forget(folders, whose, dry_run=dry_run, on_wait=lambda n: say(waiting.format(n)))
    counts = done.to_dict() | {"n_cache_entries": _cached(settings, whose, left, dry_run=dry_run)}
    left += [f"{each}: backups made until now hold it still; `beast restore` deletes it again" for each in backups]
    if settings.redis_url is not None:
        left.append("Valkey: the cache's entries there are served no more, and go when they expire")
    left.append("what was copied elsewhere: exports, other hosts' segments, training data in MLflow, providers")
    return _Done(counts, left, dry_run)


def _cached(settings: Settings, whose: Named, left: list[str], *, dry_run: bool) -> int:
    """Take a tenant's entries out of the cache; an entry does not say which user asked first, so all of them go."""
    from beast_ml.cache.forget_tenant import count_entries, forget_entries
    from beast_ml.cache.invalidation.open_store import open_invalidator
    from beast_ml.cache.invalidation.scopes import Scope

    state: Path = settings.serving.state
    url = settings.database_url or f"sqlite:///{state / 'cache.db'}"
    is_here = settings.database_url is not None or (state / "cache.db").is_file()
    home = settings.home_redis_url if settings.cache.regions else None
    if dry_run or not (is_here or home):
        return count_entries(url, whose.tenant, whose.before) if is_here else 0
    invalidator = open_invalidator(settings.database_url, settings.redis_url, state, home_url=home)
    try:
        invalidator.invalidate(Scope("tenant", whose.tenant))
    finally:
        invalidator.close()
    if home is not None:
        _on_their_way(settings, home, whose.tenant)
        left.append("other regions: their logs and caches; forget there, too (what the cache has is served no more)")
    if not is_here:
        return 0
    gone = forget_entries(url, whose.tenant, whose.before)
    if not gone.is_erased:
        left.append(
            f"{state / 'cache.db'}: its entries are deleted, but a reader kept their bytes from being overwritten; "
            "forget again"
        )
    return gone.n_entries


def _on_their_way(settings: Settings, home_url: str, tenant: str) -> None:
    """Take a tenant's entries out of what regions send each other."""
    from beast_ml.cache.region_stream import RegionStream

    secret = settings.cache.secret
    stream = RegionStream.open(home_url, settings.region, b"" if secret is None else secret.get_secret_value().encode())
    try:
        stream.forget(tenant)
    finally:
        stream.close()


def _show(done: _Done, whose: Named) -> None:
    names: dict[str, Any] = {
        "n_stored": "requests in the store",
        "n_in_segments": "requests in segments",
        "n_late": "outcomes, feedback and signals of these",
        "n_quarantined": "quarantined rows",
        "n_cache_entries": "cache entries of the tenant",
    }
    user = "" if whose.user is None else f", user {whose.user}"
    what = "texts" if whose.prompts_only else "requests"
    title = f"{'Would delete' if done.is_dry_run else 'Deleted'}: {what} of {whose.tenant}{user}"
    print_table(
        f"{title}, before {whose.before:%Y-%m-%d %H:%M} UTC",
        ("where", "number"),
        [(names[name], n) for name, n in done.counts.items()],
    )
    for each in done.not_reached:
        say(f"not reached: {each}")
