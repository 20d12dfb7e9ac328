import json
import math
from pathlib import Path

import msgspec
import pytest

from beast_ml.benchmarks.scale.cost_model import CostModel, read_cost_model
from beast_ml.benchmarks.scale.mix import MIXES
from beast_ml.benchmarks.scale.plots import draw_all
from beast_ml.benchmarks.scale.releases_part import PathRatio, Ratio, ReleasesResult, ratio_of
from beast_ml.benchmarks.scale.report import describe, plan_rows, release_rows, to_markdown
from beast_ml.benchmarks.scale.scale_bench import PARTS, ScaleBench, ScaleConfig
from beast_ml.benchmarks.scale.site import Site
from beast_ml.benchmarks.serving.cases import Effort, Spread
from beast_ml.errors import InputError

CONFIG = ScaleConfig(
    parts=("plan",),
    effort=Effort(1.0, 1.0, 3),
    deployments=("alone", "shared"),
    paths=("unseen",),
    rates=(1e4, 1e5, 1e6),
    mixes=MIXES,
    site=Site(p95_ms=50.0),
    first=None,
    trained=None,
    data=None,
    out=Path(),
    cores=(0, 1),
)


def ratio(path, value, low, high):
    us = Spread(100.0, 90.0, 110.0)
    return PathRatio(path=path, old_us=us, new_us=us, ratio=Ratio(value, low, high))


RELEASES = ReleasesResult(
    commit="539e987d1ca2e742",
    paths=(ratio("unseen", 0.9, 0.85, 0.95), ratio("gateway", 0.4, 0.35, 0.45), ratio("seen", 0.5, 0.4, 0.6)),
    mixes=(ratio("route", 0.8, 0.7, 0.9),),
    left_out={"hit": "it was not there"},
)


@pytest.fixture
def result(model):
    planned = ScaleBench(CONFIG, model).run()
    return type(planned)(**{**vars(planned), "releases": RELEASES})


def test_there_is_a_plan_a_deployment_mix_and_rate_where_all_paths_were_measured(result):
    found = [(each.deployment, each.mix, each.plan.rate) for each in result.plans]
    assert [key[:2] for key in found[::3]] == [("alone", "route"), ("shared", "route"), ("shared", "gateway")]
    assert [rate for *_, rate in found[:3]] == [1e4, 1e5, 1e6]
    assert {each.hit_share for each in result.sensitivity} == {share / 10 for share in range(10)}
    assert {each.plan.rate for each in result.sensitivity} == {1e5}


def test_the_report_says_what_gives_out_first_and_why(result):
    text = to_markdown(CONFIG, result, "beast bench scale")
    assert "forwarded outcomes, at 12,372/s" in text
    assert "each worker takes one a second, one after the other, 5,000 us each" in text
    assert "| a figure | 11 | 10 [10, 10] | +10% |" in text
    assert "Left out: hit (it was not there)." in text
    assert "list price of AWS Fargate" in text


def test_a_release_is_half_as_dear_only_where_the_whole_interval_says_so():
    words = {row[0]: row[-1] for row in release_rows(RELEASES)}
    assert words == {"unseen": "**no**", "gateway": "yes", "seen": "not certain", "mix route": "**no**"}


def test_the_report_of_programs_is_json_and_gives_the_cost_model_back(result, model, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(describe(CONFIG, result, "beast bench scale"), allow_nan=False))
    assert read_cost_model(path) == model
    found = json.loads(path.read_text())
    assert len(found["plans"]) == 9
    assert found["plans"][0]["limits"][0]["saturates_per_s"] > 0
    assert found["releases"]["commit"].startswith("539e987")


def test_a_cost_model_alone_can_be_planned_from(model, tmp_path):
    (tmp_path / "cost.json").write_bytes(msgspec.json.encode(model))
    assert isinstance(read_cost_model(tmp_path / "cost.json"), CostModel)


@pytest.mark.parametrize(("text", "said"), [(None, "cannot read"), ("{}", "holds no cost model"), ("no", "holds no")])
def test_a_file_without_a_cost_model_is_refused(tmp_path, text, said):
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_cost_model(path)


def test_without_a_cost_model_there_is_no_plan():
    with pytest.raises(InputError, match="no cost model to plan from"):
        ScaleBench(CONFIG).run()


def test_pictures_show_costs_and_hits(result, tmp_path):
    assert [path.name for path in draw_all(result, tmp_path)] == ["cost.png", "hits.png"]
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())


def test_a_row_of_a_plan_has_as_many_cells_as_its_table(result):
    from beast_ml.benchmarks.scale.report import PLAN_COLUMNS, RELEASE_COLUMNS

    assert {len(row) for row in plan_rows(result.plans)} == {len(PLAN_COLUMNS)}
    assert {len(row) for row in release_rows(RELEASES)} == {len(RELEASE_COLUMNS)}


def test_the_ratio_of_turns_has_an_interval_that_grows_with_their_scatter():
    calm = ratio_of([100.0, 110.0, 90.0], [52.0, 54.0, 46.0])
    wild = ratio_of([100.0, 110.0, 90.0], [80.0, 30.0, 60.0])
    assert calm.low < calm.value < calm.high
    assert calm.value == pytest.approx(math.prod([0.52, 54 / 110, 46 / 90]) ** (1 / 3))
    assert wild.high / wild.low > calm.high / calm.low
    assert ratio_of([100.0, 100.0], [50.0, 25.0]) == Ratio(pytest.approx(math.sqrt(0.125)), 0.25, 0.5)


def test_all_parts_are_known():
    assert PARTS == ("cost", "plan", "releases")
