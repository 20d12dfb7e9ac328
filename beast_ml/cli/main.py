"""The `beast` command.

Each command group is a file beside this one. They import what is heavy inside their functions, so that
``beast --help`` stays quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from beast_ml.cli.backup import app as backup_app
from beast_ml.cli.bench import app as bench_app
from beast_ml.cli.budgets import app as budgets_app
from beast_ml.cli.cache import app as cache_app
from beast_ml.cli.dashboard import app as dashboard_app
from beast_ml.cli.data import app as data_app
from beast_ml.cli.evaluate import app as evaluate_app
from beast_ml.cli.experiment import app as experiment_app
from beast_ml.cli.keys import app as keys_app
from beast_ml.cli.learn import app as learn_app
from beast_ml.cli.lineage import app as lineage_app
from beast_ml.cli.logs import app as logs_app
from beast_ml.cli.models import app as models_app
from beast_ml.cli.output import stderr
from beast_ml.cli.quickstart import app as quickstart_app
from beast_ml.cli.registry import app as registry_app
from beast_ml.cli.report import app as report_app
from beast_ml.cli.route import app as route_app
from beast_ml.cli.scorecard import app as scorecard_app
from beast_ml.cli.serve import app as serve_app
from beast_ml.cli.train import app as train_app
from beast_ml.cli.tune import app as tune_app
from beast_ml.errors import BeastError, InputError
from beast_ml.events import show_events

__all__ = ["app", "run"]

app = typer.Typer(
    name="beast",
    help="Turn the logs of an LLM router into a better router.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold prompts and keys
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which a newcomer needs them.
for _group in (
    quickstart_app,
    data_app,
    logs_app,
    train_app,
    evaluate_app,
    tune_app,
    cache_app,
    registry_app,
    lineage_app,
    learn_app,
    route_app,
    serve_app,
    dashboard_app,
    models_app,
    keys_app,
    budgets_app,
    backup_app,
    experiment_app,
    report_app,
    bench_app,
    scorecard_app,
):
    app.add_typer(_group)


@app.callback()
def _beast(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell on standard error what happens.")] = False,
) -> None:
    """Turn the logs of an LLM router into a better router."""
    if verbose:
        show_events()


def run() -> None:
    """Run the command line: exit 0 on success, 2 when the user's input is wrong, 1 on any other failure."""
    try:
        app()
    except InputError as error:
        stderr.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        stderr.print(f"[red]error:[/red] {escape(str(error))}: check the path", highlight=False)
        sys.exit(2)
    except BeastError as error:
        stderr.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(1)
