"""`beast experiment guard`: looks after running experiments; `beast serve` runs it after each compaction."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from beast_ml.cli.output import JsonOption, print_json, say, stdout
from beast_ml.errors import InputError

__all__ = ["guard"]


def guard(
    experiments: Annotated[
        Path | None, typer.Option(help="The experiments' file; default: experiments.json in serving.state.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the best-arm mode's draws; default: drawn.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop variants that break a guardrail, move the shares of experiments in the best-arm mode, and analyse them all.

    Looking often costs nothing in validity. Servers that use the file follow within a second, and give the analyses,
    which are kept beside it, at GET /v1/admin/experiments/analyses.
    """
    from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE
    from beast_ml.experiments.followed import FollowedExperiments
    from beast_ml.settings import load_settings

    file = experiments or load_settings().serving.state / EXPERIMENTS_FILE
    followed = FollowedExperiments(file)
    if followed.error is not None:
        raise InputError(followed.error)
    running = [each for each in followed.experiments.running() if each.variants]
    done: list[dict[str, Any]] = []
    if running:  # only then what is heavy is imported: this runs every few minutes
        import numpy as np

        from beast_ml.events import events
        from beast_ml.experiments.kept_analyses import ANALYSES_FILE, read_analyses, write_analyses
        from beast_ml.experiments.log_analysis import analyse_log
        from beast_ml.experiments.tend import is_tended, tend
        from beast_ml.logs.store import LogStore

        log, rng = LogStore(store or load_settings().logs.store), np.random.default_rng(seed)
        for experiment in filter(is_tended, running):
            tended = tend(experiment, log, datetime.now(UTC), rng)
            stopped = [each.sentence for each in tended.breaches]
            # Whoever changed it meanwhile knows better: the next run looks at it as it is then.
            written = tended.changed and not dry_run and followed.put(tended.experiment, instead_of=experiment)
            if written:
                events.info("experiment.tended", id=experiment.id, stopped=stopped, shares=tended.shares)
            done.append(
                {
                    "id": experiment.id,
                    "stopped": stopped,
                    "shares": tended.shares,
                    "status": tended.experiment.status,
                    "waiting": list(tended.waiting),
                    "written": written,
                }
            )
        if not dry_run:
            newer = [kept for experiment in running for kept in analyse_log(experiment, log, datetime.now(UTC))]
            analyses = file.with_name(ANALYSES_FILE)
            write_analyses(analyses, read_analyses(analyses).with_newer(tuple(newer)))
    if as_json:
        print_json(done)
        return
    if not done:
        say("no running experiment has guardrails or moves its shares")
    for each in done:
        lines = [*each["stopped"], *each["waiting"]]
        if each["shares"] is not None:
            lines.append("shares: " + ", ".join(f"{name} {share:.3g}" for name, share in each["shares"].items()))
        for line in lines or ["nothing to do"]:
            stdout.print(f"{each['id']}: {line}", highlight=False, markup=False)
