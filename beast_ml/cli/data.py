"""`beast data`: public outcome sets to try things on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from beast_ml.cli.output import JsonOption, print_json, print_table, stderr, stdout

if TYPE_CHECKING:
    from beast_ml.logs.public.catalogue import PublicSet
    from beast_ml.logs.public.local import LocalSet
    from beast_ml.logs.public.pull import Pulled

__all__ = ["PublicSetsOption", "app", "data_folder"]

PublicSetsOption = Annotated[
    Path | None,
    typer.Option(envvar="BEAST_DATA_DIR", help="Folder of the public sets; what is not in it is left out."),
]
"""Where a command finds the public sets."""

app = typer.Typer(name="data", help="List, pull and describe public outcome sets.", no_args_is_help=True)

DirOption = Annotated[
    Path | None,
    typer.Option("--dir", envvar="BEAST_DATA_DIR", help="Where public sets are kept; default: the user's data folder."),
]


@app.command("list")
def list_sets(directory: DirOption = None, as_json: JsonOption = False) -> None:
    """List the public outcome sets: what they are, their licences, and which are here."""
    from beast_ml.logs.public.catalogue import CATALOGUE
    from beast_ml.logs.public.local import local_state

    folder = data_folder(directory)
    states = [(public_set, local_state(public_set, folder)) for public_set in CATALOGUE]
    if as_json:
        print_json(
            [
                {
                    **_facts(public_set),
                    "state": local.state,
                    "outcomes": local.outcomes if local.state == "here" else None,
                    "n_rows": local.n_rows,
                    "n_bytes": local.n_bytes,
                }
                for public_set, local in states
            ]
        )
        return
    print_table(
        "Public outcome sets",
        ("name", "queries", "models", "licence", "here"),
        [
            (
                public_set.name,
                f"{public_set.n_queries:,}",
                public_set.n_models,
                public_set.licence.partition(" (")[0],
                _here(public_set, local),
            )
            for public_set, local in states
        ],
        caption=f"here: {folder}",
    )
    for public_set, _ in states:
        stdout.print(f"{public_set.name}: {public_set.what}\n    {public_set.home}", highlight=False)
    stdout.print("`beast data describe NAME` tells more, `beast data pull NAME` fetches", highlight=False)


@app.command("pull")
def pull_sets(
    names: Annotated[list[str], typer.Argument(help="Names from `beast data list`.")],
    directory: DirOption = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Use sets without a licence for your own evaluation only.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Pull again what is here.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch public sets, verify them and convert them to outcome tables.

    A download that broke off is taken up where it stopped. Digests that no publisher gives are recorded at the first
    pull, and later pulls must meet them.
    """
    from beast_ml.logs.public.catalogue import find_set
    from beast_ml.logs.public.local import local_state

    folder = data_folder(directory)
    results = []
    for public_set in [find_set(name) for name in names]:
        local = local_state(public_set, folder)
        if local.state == "here" and not force:
            stderr.print(
                f"{public_set.name} is here already: {local.outcomes} (--force pulls it again)", highlight=False
            )
            results.append(
                {"name": public_set.name, "outcomes": local.outcomes, "n_rows": local.n_rows, "pulled": False}
            )
            continue
        stderr.print(f"{public_set.name}: licence {public_set.licence}; from {public_set.home}", highlight=False)
        pulled = _pull(public_set, folder, accept_licence=accept_licence)
        results.append({"name": public_set.name, **asdict(pulled), "pulled": True})
        if not as_json:
            _report(public_set, pulled)
    if as_json:
        print_json(results)


@app.command("describe")
def describe_set(
    name: Annotated[str, typer.Argument(help="A name from `beast data list`.")],
    directory: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a public set holds, what to beware of, and its statistics where it is here."""
    from beast_ml.logs.public.catalogue import find_set
    from beast_ml.logs.public.local import local_state, summarise

    public_set = find_set(name)
    local = local_state(public_set, data_folder(directory))
    summary = summarise(local.outcomes) if local.state == "here" else None
    if as_json:
        statistics = None if summary is None else asdict(summary)
        print_json({**_facts(public_set), "state": local.state, "outcomes": local.outcomes, "statistics": statistics})
        return
    stdout.print(f"[bold]{public_set.name}[/bold]: {public_set.what}", highlight=False)
    stdout.print(f"home     {public_set.home}\nlicence  {public_set.licence}", highlight=False)
    stdout.print(
        f"size     {public_set.n_queries:,} queries x {public_set.n_models} models as published", highlight=False
    )
    stdout.print(f"verified {_verification(public_set)}", highlight=False)
    for caveat in public_set.caveats:
        stdout.print(f"  - {caveat}", highlight=False)
    if summary is None:
        hint = public_set.not_pullable or f"`beast data pull {name}` fetches it"
        stdout.print(f"{local.state} in {local.outcomes.parent}: {hint}", highlight=False)
        return
    print_table(
        f"Here: {summary.n_queries:,} queries, {summary.n_models} models ({local.outcomes})",
        ("model", "queries", "mean quality", "mean cost USD", "mean latency s"),
        [
            (m.model, m.n_queries, m.quality, *("-" if v is None else v for v in (m.cost_usd, m.latency_s)))
            for m in summary.models
        ],
        caption=f"best model of each query: {summary.best_per_query:.4g}",
    )
    print_table("Tasks", ("task", "queries"), list(summary.tasks.items()))
    print_table("Columns", ("column", "share of rows known"), list(summary.known.items()))


def data_folder(directory: Path | None) -> Path:
    """Return where public sets are kept: the given folder, else the user's."""
    from platformdirs import user_data_path

    return directory or user_data_path("beast-ml") / "data"


def _here(public_set: PublicSet, local: LocalSet) -> str:
    if local.n_rows is not None and local.n_bytes is not None:
        return f"{local.n_rows:,} rows, {local.n_bytes / 1e6:.1f} MB"
    return local.state if public_set.files else "not pullable"


def _facts(public_set: PublicSet) -> dict[str, object]:
    return {
        "name": public_set.name,
        "what": public_set.what,
        "home": public_set.home,
        "licence": public_set.licence,
        "needs_acceptance": public_set.needs_acceptance,
        "n_queries": public_set.n_queries,
        "n_models": public_set.n_models,
        "n_files": len(public_set.files),
        "pullable": bool(public_set.files),
        "not_pullable": public_set.not_pullable,
        "caveats": public_set.caveats,
        "verified": _verification(public_set),
    }


def _verification(public_set: PublicSet) -> str:
    if not public_set.files:
        return "not at all: it cannot be pulled"
    if all(file.sha256 for file in public_set.files):
        return "every file against its published sha256"
    return (
        "addresses name a commit; the publisher gives no digests, so the first pull records them in digests.json "
        "beside the data and every later pull must meet them"
    )


def _pull(public_set: PublicSet, folder: Path, *, accept_licence: bool) -> Pulled:
    import stamina.instrumentation

    from beast_ml.logs.public.pull import pull

    # Its own hook would log to standard output, where the JSON goes.
    stamina.instrumentation.set_on_retry_hooks(
        [lambda retry: stderr.print(f"trying again: {retry.caused_by}", highlight=False)]
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        tasks = {}

        def on_progress(name: str, have: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=have, total=total, visible=total is None or have < total)

        return pull(public_set, folder, accept_licence=accept_licence, on_progress=on_progress)


def _report(public_set: PublicSet, pulled: Pulled) -> None:
    stdout.print(
        f"{public_set.name}: {pulled.n_rows:,} rows, {pulled.n_queries:,} queries, {pulled.n_models} models "
        f"in {pulled.outcomes}",
        highlight=False,
    )
    if pulled.n_quarantined:
        stdout.print(
            f"  {pulled.n_quarantined:,} rows were no valid outcomes: quarantine.jsonl beside it", highlight=False
        )
    if pulled.first_seen:
        stdout.print(f"  digests of {len(pulled.first_seen)} files recorded for later pulls", highlight=False)
