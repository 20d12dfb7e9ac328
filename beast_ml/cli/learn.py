"""`beast learn`: the loop that improves the router by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say, stdout

if TYPE_CHECKING:
    from beast_ml.operations.learning_loop.run import LoopReport
    from beast_ml.operations.learning_loop.states import LoopState

__all__ = ["app"]

app = typer.Typer(
    name="learn",
    help="Learn from the log, prove, try on live requests, promote, watch, and roll back: by itself.",
    no_args_is_help=True,
)

StoreOption = Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")]

_SHOWN: Final = 10


@app.callback()
def _learn() -> None:
    """Learn from the log, prove, try on live requests, promote, watch, and roll back: by itself."""


@app.command()
def once(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Go on from where the loop stands until it must wait, or a cycle has ended.

    Run it by a timer, say every hour. It may be killed at any moment: the next run goes on.
    """
    from beast_ml.cli.live_loop import live_loop, loop_state
    from beast_ml.operations.learning_loop.run import learn_once
    from beast_ml.settings import load_settings

    settings = load_settings()
    around = live_loop(settings, store)
    report = learn_once(loop_state(settings), around, around.config)
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)


@app.command()
def watch(
    store: StoreOption = None,
    every: Annotated[float, typer.Option(min=1, help="Seconds between looks.")] = 300.0,
) -> None:
    """Run the loop for good, until Ctrl+C; what is away, such as the registry, is asked again at the next look."""
    from beast_ml.cli.live_loop import live_loop, loop_state
    from beast_ml.errors import BeastError, InputError
    from beast_ml.operations.learning_loop.run import learn_once
    from beast_ml.settings import load_settings

    settings = load_settings()
    around = live_loop(settings, store)
    told: str | None = None
    is_running = False
    try:
        while True:
            try:
                report = learn_once(loop_state(settings), around, around.config)
                is_running = True
            except BeastError as error:
                if isinstance(error, InputError) and not is_running:
                    raise  # what is wrong from the beginning is the user's to mend
                if told != str(error):
                    say(f"warning: {error}; the loop stays where it is")
                told = str(error)
            else:
                told = None
                for state in report.transitions:
                    stdout.print(_line(state), highlight=False, markup=False)
                if report.waiting is None:
                    continue
            time.sleep(every)
    except KeyboardInterrupt:
        stdout.print("stopped; the next run goes on from here")


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Print where the loop stands, and how its last cycles ended."""
    import msgspec

    from beast_ml.cli.live_loop import loop_state
    from beast_ml.settings import load_settings

    state = loop_state(load_settings()).read()
    if as_json:
        print_json(None if state is None else msgspec.to_builtins(state))
        return
    if state is None:
        stdout.print("The loop has not run yet: beast learn once", highlight=False)
        return
    if state.finished:
        rows = [
            (each.cycle, f"{each.at:%Y-%m-%d %H:%M}", each.candidate or "-", each.verdict, each.reason)
            for each in state.finished[-_SHOWN:]
        ]
        print_table("The last cycles", ("cycle", "ended (UTC)", "candidate", "verdict", "because"), rows)
    stdout.print(_line(state), highlight=False, markup=False)


@app.command()
def changes(as_json: JsonOption = False) -> None:
    """List the changes that learning, tuning and recommendations proposed, and what evidence made of them.

    Routers that a training, the loop or a savings report registered, and settings that `beast tune` found. Those that
    wait for evidence are open, and no part of the share.
    """
    from collections import Counter
    from dataclasses import asdict

    from beast_ml.cli.live_loop import loop_state
    from beast_ml.operations.learning_loop.proposed import with_cycles
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.proposals import proposals
    from beast_ml.settings import load_settings

    settings = load_settings()
    state = loop_state(settings).read()
    tracking = TrackingConfig(**settings.tracking.model_dump())
    is_there = tracking.database is None or tracking.database.exists()  # looking must not make one
    recorded = proposals(tracking) if is_there else []
    found = with_cycles(recorded, () if state is None else state.finished)
    if as_json:
        print_json([asdict(each) | {"at": each.at.isoformat()} for each in found])
        return
    if not found:
        stdout.print("Nothing was proposed yet: beast train, beast tune, beast learn once, or beast report savings")
        return
    rows = [(f"{each.at:%Y-%m-%d %H:%M}", each.origin, each.what, each.outcome, each.because) for each in found]
    print_table("Changes that were proposed", ("at (UTC)", "by", "what", "outcome", "because"), rows)
    counts = Counter(each.outcome for each in found)
    judged = len(found) - counts["open"]
    stdout.print(
        f"Evidence adopted {counts['adopted']} of {judged} proposals, refused {counts['refused']} and took back "
        f"{counts['taken back']}; {counts['open']} are open.",
        highlight=False,
        style="bold",
    )


def _show(report: LoopReport) -> None:
    rows = [(each.entered_at.strftime("%m-%d %H:%M"), each.step, each.reason) for each in report.transitions]
    if rows:
        print_table("What was done", ("at (UTC)", "now", "because"), rows)
    if report.waiting is None:
        ended = report.state.finished[-1]
        stdout.print(f"Cycle {ended.cycle} ended: {ended.verdict}; {ended.reason}.", highlight=False, markup=False)
    else:
        stdout.print(
            f"Cycle {report.state.cycle} is at `{report.state.step}` and waits: {report.waiting}.",
            highlight=False,
            markup=False,
        )


def _line(state: LoopState) -> str:
    return f"{state.entered_at:%Y-%m-%d %H:%M} cycle {state.cycle}, {state.step}: {state.reason}"
