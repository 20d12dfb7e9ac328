import json
import signal
from contextlib import nullcontext

import msgspec
import pytest
from typer.testing import CliRunner

from beast_ml.benchmarks.scale import scale_bench
from beast_ml.benchmarks.scale.checks import Checked
from beast_ml.benchmarks.scale.meters import spent
from beast_ml.benchmarks.scale.paths import PATHS, bodies_of, chosen_paths
from beast_ml.benchmarks.scale.releases_part import ReleasesResult
from beast_ml.benchmarks.scale.report import to_markdown
from beast_ml.benchmarks.scale.scale_bench import ScaleBench, ScaleConfig, choose_rates
from beast_ml.benchmarks.scale.site import Site
from beast_ml.benchmarks.serving.cases import Effort
from beast_ml.cli.main import app
from beast_ml.errors import InputError, UnavailableError

BASE = [f"What is {i} plus {i % 7}, and what is the {i}th word of this question?" for i in range(60)]


@pytest.fixture
def measured(monkeypatch, model, tmp_path):
    """Names of what was measured; nothing is started."""
    names = []

    def deployment(name, paths, ground, progress):
        names.append(name)
        return model.deployment(name) or model.deployments[0], model.echo_us

    def checks(ground, progress):
        names.append("checks")
        return Checked(model.checks, (100.0, 120.0, 500.0), 200.0, ())

    monkeypatch.setattr(scale_bench, "measure_deployment", deployment)
    monkeypatch.setattr(scale_bench, "measure_checks", checks)
    monkeypatch.setattr(scale_bench, "compaction_us", lambda segments, folder: 20.0)
    monkeypatch.setattr(scale_bench, "measure_leases", lambda folder: model.leases)
    monkeypatch.setattr(scale_bench, "base_prompts", lambda data: BASE)
    monkeypatch.setattr(scale_bench, "quickstart_bundle", lambda out, part=0: tmp_path)
    return names


def config(out, **changes):
    known = {
        "parts": ("cost", "plan"),
        "effort": Effort(1.0, 0.1, 1),
        "deployments": ("alone", "shared"),
        "paths": tuple(PATHS),
        "rates": (1e4,),
        "mixes": {"unseen=1": {"unseen": 1.0}},
        "site": Site(),
        "first": None,
        "trained": None,
        "data": None,
        "out": out,
        "cores": (0, 1),
    }
    return ScaleConfig(**(known | changes))


def test_plans_are_made_from_what_was_just_measured(measured, tmp_path, model):
    result = ScaleBench(config(tmp_path / "out")).run()
    assert measured == ["alone", "shared", "checks"]
    assert result.cost.deployments == model.deployments
    assert result.cost.leases == model.leases
    assert [each.deployment for each in result.plans] == ["alone", "shared"]


def test_a_run_goes_on_where_it_stopped(measured, tmp_path):
    first = ScaleBench(config(tmp_path / "out")).run()
    again = ScaleBench(config(tmp_path / "out")).run()
    assert measured == ["alone", "shared", "checks"]
    assert again.cost.deployments == first.cost.deployments
    ScaleBench(config(tmp_path / "out", effort=Effort(2.0, 0.1, 1))).run()
    assert len(measured) == 6


def test_what_cannot_be_measured_is_left_out_with_its_reason(measured, tmp_path, monkeypatch):
    whole = scale_bench.measure_deployment

    def fails(name, *rest):
        if name == "shared":
            raise UnavailableError("no PostgreSQL\nhere")
        return whole(name, *rest)

    monkeypatch.setattr(scale_bench, "measure_deployment", fails)
    result = ScaleBench(config(tmp_path / "out")).run()
    assert result.left_out == {"cost shared": "no PostgreSQL\nhere"}
    assert [each.deployment for each in result.plans] == ["alone"]


def test_a_mix_that_cannot_keep_to_the_p95_is_said_and_the_rest_goes_on(measured, tmp_path, monkeypatch):
    released = ReleasesResult(commit="abc", paths=(), mixes=(), left_out={})
    monkeypatch.setattr(scale_bench, "release_tree", lambda first, tree: nullcontext(released))
    monkeypatch.setattr(scale_bench, "measure_releases", lambda *_: released)
    mixes = {"slow": {"unseen": 1.0}, "quick": {"unseen": 1e-3, "hit": 1.0}}
    asked = config(tmp_path / "out", parts=("cost", "plan", "releases"), mixes=mixes, site=Site(p95_ms=0.3))
    result = ScaleBench(asked).run()
    assert {(each.deployment, each.mix) for each in result.plans} == {("shared", "quick")}
    assert set(result.left_out) == {f"plan of the mix slow in the deployment {name}" for name in ("alone", "shared")}
    assert result.releases == released
    text = to_markdown(asked, result, "beast bench scale")
    assert "Left out: plan of the mix slow in the deployment alone (it cannot be planned on this machine: `p95" in text
    assert "even a request alone takes" in text


def test_nothing_to_measure_is_an_error(measured, tmp_path, monkeypatch):
    def fails(*_):
        raise UnavailableError("no port")

    monkeypatch.setattr(scale_bench, "measure_deployment", fails)
    with pytest.raises(InputError, match="no deployment could be measured"):
        ScaleBench(config(tmp_path / "out")).run()


def test_a_commit_that_is_not_there_is_said_and_nothing_measured(measured, tmp_path):
    with pytest.raises(InputError, match="`--first` == 'no-such-commit'"):
        ScaleBench(config(tmp_path / "out", parts=("releases",), first="no-such-commit")).run()


def test_the_command_writes_reports_and_plans_again_from_them_without_measuring(measured, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run = CliRunner().invoke(app, ["bench", "scale", "--parts", "cost,plan", "--mix", "unseen=1", "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert (out / "report.md").read_text().startswith("# Capacity")
    n_measured = len(measured)
    options = ["--parts", "plan", "--mix", "route", "--rates", "5000", "--speed", "2", "--json", "--out", str(out)]
    again = CliRunner().invoke(app, ["bench", "scale", *options])
    assert again.exit_code == 0, again.output
    assert len(measured) == n_measured
    found = json.loads((out / "report.json").read_text())
    assert {plan["rate"] for plan in found["plans"]} == {5000.0}
    assert found["settings"]["site"]["speed"] == 2.0


def test_the_command_prints_what_changed_since_the_first_release(measured, tmp_path, monkeypatch):
    result = ReleasesResult(commit="abc", paths=(), mixes=(), left_out={"hit": "no cache then"})
    handlers = []
    monkeypatch.setattr(
        ScaleBench, "_releases", lambda self: handlers.append(signal.getsignal(signal.SIGTERM)) or result
    )
    run = CliRunner().invoke(app, ["bench", "scale", "--parts", "releases", "--out", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert "Beside the first release" in run.output
    assert handlers == [signal.default_int_handler]  # being told to stop is like Ctrl-C: servers end with it


@pytest.mark.parametrize("text", ["", "no", "0", "-1", "nan", "inf", "100,,200"])
def test_rates_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="`--rates`"):
        choose_rates(text)


def test_paths_are_measured_in_an_order_in_which_decisions_come_before_what_is_told_of_them():
    plain, cached = chosen_paths(("hit", "outcomes", "seen", "miss"))
    assert [path.name for path in plain] == ["seen", "outcomes"]
    assert [path.name for path in cached] == ["miss", "hit"]


def bodies(name, folder, n_new=30, ids=()):
    return [json.loads(line) for line in bodies_of(PATHS[name], folder, BASE, n_new, ids).read_bytes().splitlines()]


def test_new_prompts_are_new_and_the_same_for_every_path(tmp_path):
    routed = [body["prompt"] for body in bodies("unseen", tmp_path)]
    called = [body["messages"][0]["content"] for body in bodies("gateway", tmp_path)]
    assert len(set(routed)) == 30
    assert routed == called
    assert all(body["stream"] for body in bodies("gateway streamed", tmp_path))


def test_what_is_told_of_decisions_is_of_these_and_no_earlier_ones(tmp_path):
    assert [body["request_id"] for body in bodies("outcomes", tmp_path, ids=["a", "b"])] == ["a", "b"]
    assert bodies("outcomes", tmp_path, ids=["c"]) == [{"request_id": "c", "cost_usd": 0.001, "latency_s": 1.5}]
    assert bodies("feedback", tmp_path, ids=["c"]) == [{"request_id": "c", "thumbs": "up"}]


def test_what_was_spent_is_divided_by_the_requests():
    assert spent({"a": 10.0, "b": 0.0}, {"a": 30.0, "b": 5.0}, 10) == {"a": 2.0, "b": 0.5}


def test_what_is_kept_on_disk_is_what_was_measured(measured, tmp_path, model):
    ScaleBench(config(tmp_path / "out")).run()
    kept = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "out" / "measured").iterdir())
    assert kept == ["checks", "cost-alone", "cost-shared", "leases"]
    path = next((tmp_path / "out" / "measured").glob("leases-*"))
    assert msgspec.json.decode(path.read_bytes())["found"][0]["service"] == "postgres"
