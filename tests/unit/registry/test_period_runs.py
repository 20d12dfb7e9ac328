from datetime import UTC, datetime, timedelta

from mlflow import MlflowClient

from beast_ml.registry.period_runs import record_report, runs_between
from beast_ml.registry.tracking import training_run

SINCE = datetime(2026, 3, 2, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)


def test_a_report_is_one_finished_run_that_its_tags_find(config, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("<p>", "utf-8")
    run_id = record_report(config, "week", SINCE, UNTIL, "**It cost $1.**", {"requests": 7.0}, tmp_path / "out")
    client = MlflowClient(config.uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == config.experiment]
    where = "tags.kind = 'period-report' and tags.period = 'week'"
    (run,) = client.search_runs([experiment.experiment_id], where)
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.data.metrics == {"requests": 7.0}
    assert run.data.tags["since"] == SINCE.isoformat()
    assert [each.path for each in client.list_artifacts(run_id, "report")] == ["report/report.html"]


def test_runs_of_a_time_are_found_without_those_below_them(config) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    with training_run(config, "training a", "", {"verdict": "passed"}) as run, run.child("quality", ""):
        pass
    found = runs_between(config, before, datetime.now(UTC) + timedelta(seconds=5))
    assert [(each.name, each.tags["verdict"]) for each in found] == [("training a", "passed")]
    assert before <= found[0].at
    assert runs_between(config, SINCE, UNTIL) == []
