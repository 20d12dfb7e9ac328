"""`beast keys`: the API keys that tenants call `beast serve` with."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say, stdout

if TYPE_CHECKING:
    from beast_ml.operations.keys.key import ApiKey
    from beast_ml.operations.keys.store import KeyStore

__all__ = ["app"]

app = typer.Typer(name="keys", help="The API keys of tenants.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    """Make, list and revoke API keys."""


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Whose requests the key stands for.")],
    name: Annotated[str, typer.Option(help="What the key is for, as the list shows it.")] = "",
    expires: Annotated[
        float | None, typer.Option(min=0.0, max=36_500.0, help="Days until it ends; default: never.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it: once, only a hash of it is kept."""
    from beast_ml.operations.keys.key import id_in

    ends = None if expires is None else datetime.now(UTC) + timedelta(days=expires)
    with closing(_store()) as store:
        key = store.create(tenant, name, ends)
    if as_json:
        print_json({"key": key, "id": id_in(key), "tenant": tenant, "name": name, "expires_at": _iso(ends)})
        return
    typer.echo(key)
    say("keep it: it is not shown again. Calls carry it as `Authorization: Bearer KEY`")


@app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List all keys; their secrets are nowhere."""
    now = datetime.now(UTC)
    with closing(_store()) as store:
        keys = store.list()
    if as_json:
        print_json([_summary(key, now) for key in keys])
        return
    if not keys:
        say("no key was made yet: a server on this machine's own address serves everyone as the tenant `default`")
        return
    rows = [
        (key.id, key.tenant, key.name, _shown(key.created_at), _shown(key.expires_at), key.state(now)) for key in keys
    ]
    print_table("API keys", ("id", "tenant", "name", "created", "expires", "state"), rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `beast keys list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key worthless, for good."""
    with closing(_store()) as store:
        key = store.revoke(key_id)
    if as_json:
        print_json(_summary(key, datetime.now(UTC)))
        return
    stdout.print(f"key {key.id} of {key.tenant} is revoked: servers refuse it within seconds", highlight=False)


def _store() -> KeyStore:
    from beast_ml.operations.keys.store import KeyStore
    from beast_ml.settings import load_settings

    settings = load_settings()
    return KeyStore.open(settings.serving.state, settings.database_url)


def _summary(key: ApiKey, now: datetime) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
        "state": key.state(now),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _shown(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"
