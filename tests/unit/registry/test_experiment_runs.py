from mlflow import MlflowClient

from beast_ml.experiments.analysis import analyze
from beast_ml.experiments.observation_files import report_of, write_report
from beast_ml.experiments.verdict import reach_verdict
from beast_ml.registry.experiment_runs import record_analysis
from beast_ml.testing.experiments import observations


def test_an_analysis_is_one_finished_run_with_its_verdict(config, tmp_path):
    analysis = analyze(observations(effects={"new": 0.3}), "quality")
    verdict = reach_verdict(analysis)
    write_report(tmp_path / "out", report_of(analysis, verdict))
    run_id = record_analysis(config, analysis, verdict, tmp_path / "out", "cheaper")
    client = MlflowClient(config.uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["decision"] == "ship"
    assert run.data.tags["experiment_id"] == "cheaper"
    assert run.data.tags["mlflow.note.content"].startswith("**Ship 'new'")
    assert run.data.metrics["new/low"] < 0.3 < run.data.metrics["new/high"]
    assert run.data.params["alpha"] == "0.05"
    assert [each.path for each in client.list_artifacts(run_id, "analysis")] == ["analysis/report.json"]
