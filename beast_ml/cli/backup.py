"""`beast backup` and `beast restore`: what a deployment cannot make anew, copied and brought back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say, stdout
from beast_ml.errors import InputError

__all__ = ["app"]

app = typer.Typer()


@app.command()
def backup(
    to: Annotated[Path, typer.Option(help="The folder of backups; each is a folder in it. Best on another disk.")],
    keep: Annotated[int | None, typer.Option(min=1, help="Then delete all but so many of the newest.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy logs, keys, budgets, cache, experiments, the loop's state and the registry, while the server runs.

    A backup is there whole or not at all. Files that an earlier one holds, too, are linked and take no room.
    """
    from beast_ml.cli.deployment_places import deployment_places
    from beast_ml.operations.backup.take import take_backup
    from beast_ml.settings import load_settings

    start = time.monotonic()
    done = take_backup(deployment_places(load_settings()), to, keep=keep)
    seconds = time.monotonic() - start
    if as_json:
        print_json(done.to_dict() | {"seconds": seconds})
        return
    rows = [
        ("backup", str(done.folder)),
        ("files", f"{done.n_files:,}, of these {done.n_linked:,} shared with the backup before"),
        ("size", f"{done.n_bytes / 1e6:,.1f} MB"),
        ("took", f"{seconds:.1f} s"),
        *(("deleted", name) for name in done.pruned),
    ]
    print_table("Backed up", ("what", "value"), rows)
    if done.left_out:
        print_table("Not in it", ("what", "why"), list(done.left_out.items()))
    stdout.print("It holds keys and secrets: keep it as safe as the server.", highlight=False)
    stdout.print(f"To bring it back: beast restore {done.folder} --into NEW-FOLDER", highlight=False, markup=False)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A backup, or a folder of them: then the newest.")],
    into: Annotated[Path, typer.Option(help="The working directory to be: a new or empty folder.")],
    at: Annotated[
        str | None,
        typer.Option(help="As of this time, such as 2026-11-25T08:00Z: the newest backup before, and the log."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put what is there aside first, and empty our tables in PostgreSQL.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a working directory out of a backup, once every file in it is verified.

    Budgets come back with what the log says was spent; texts that `beast logs forget` has deleted since do not.
    Run it where no mlflow.yaml is, or one that BEAST_DATABASE_URL agrees with.
    """
    from beast_ml.operations.backup.restore import restore as restored
    from beast_ml.settings import load_settings

    start = time.monotonic()
    moment = None if at is None else _moment(at)
    done = restored(source, into, at=moment, replace=replace, database_url=load_settings().database_url)
    seconds = time.monotonic() - start
    if as_json:
        print_json(done.to_dict() | {"seconds": seconds})
        return
    rows = [
        ("backup", str(done.backup)),
        ("made", f"{done.made_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("files verified", f"{done.n_files:,}, {done.n_bytes / 1e6:,.1f} MB"),
        ("requests in the log", f"{done.n_requests:,}"),
        ("rows after the time, left out", f"{done.n_cut:,}"),
        ("forgotten again", f"{done.n_forgotten:,}"),
        ("budgets raised to what was spent", f"{done.n_raised:,}"),
        ("took", f"{seconds:.1f} s"),
    ]
    print_table(f"Restored into {into}", ("what", "value"), rows)
    for note in done.notes:
        say(f"note: {note}")
    stdout.print(f"Go on with: cd {into} && beast serve", highlight=False, markup=False)


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"`--at` == {text!r}, must be a time such as 2026-11-25T08:00Z") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
