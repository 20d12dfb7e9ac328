import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beast_ml.cli.experiment_change import variant_text
from beast_ml.experiments.experiments_file import Experiments, read_experiments, write_experiments
from beast_ml.experiments.kept_analyses import ANALYSES_FILE, read_analyses
from beast_ml.testing.experiment_logs import experiment_of, experiment_store


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    n = 3_000
    variant = np.array(["control", "new", "worse"])[rng.integers(3, size=n)]
    values = rng.normal(size=n) + 0.4 * (variant == "new") - 0.4 * (variant == "worse")
    times = pa.array(
        np.datetime64("2026-03-01", "us") + np.arange(n) * np.timedelta64(1, "m"), pa.timestamp("us", "UTC")
    )
    columns = {"unit_id": [f"u{i}" for i in range(n)], "variant": variant, "value": values, "observed_at": times}
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_an_analysis_is_written_by_contract(beast, data, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = beast("experiment", "analyze", "--data", data, "--metric", "joy", "--alpha", 0.05, "--out", out)
    assert code == 0
    report = json.loads((out / "report.json").read_text())
    assert set(report["variants"]) == {"new", "worse"}
    new, worse = report["variants"]["new"], report["variants"]["worse"]
    assert new["low"] < 0.4 < new["high"]
    assert worse["low"] < -0.4 < worse["high"]
    assert max(new["p_value"], worse["p_value"]) < 0.001
    assert report["stopped_at"] == min(new["found_at"], worse["found_at"])
    assert report["stopped_at"].startswith("2026-03-01T")
    assert "Ship 'new': joy" in printed
    assert {path.name for path in out.iterdir()} == {"report.json", "effects.png", "p_values.png", "forest.png"}


def test_programs_get_the_report_and_may_do_without_pictures(beast, data, tmp_path):
    arguments = ("--data", data, "--out", tmp_path / "out", "--no-plots", "--json", "--control", "fdr")
    code, printed, _ = beast("experiment", "analyze", *arguments)
    assert code == 0
    assert json.loads(printed) == json.loads((tmp_path / "out" / "report.json").read_text())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give --data FILE or --experiment ID"),
        (("--data", "nowhere.parquet"), "there is no file"),
        (("--data", "d.parquet", "--alpha", "1.5"), "`alpha` == 1.5"),
        (("--data", "d.parquet", "--control", "hope"), "must be one of holm, fdr, none"),
        (("--data", "d.parquet", "--shares", "control=0.5"), "no share of 'new'"),
        (("--data", "d.parquet", "--shares", "half"), "is no share"),
        (("--data", "d.parquet", "--covariate", "age"), "no column 'age'"),
        (("--experiment", "trial", "--experiments", "none.json"), "has no experiment 'trial'"),
    ],
)
def test_wrong_input_is_told_with_the_way_to_mend_it(beast, data, tmp_path, arguments, words):
    code, _, err = beast("experiment", "analyze", "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert words in " ".join(err.split())


def test_a_file_that_is_no_parquet_is_refused(beast, tmp_path):
    (tmp_path / "d.parquet").write_text("no")
    code, _, err = beast("experiment", "analyze", "--data", "d.parquet", "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be read as Parquet" in err


def rewrite(path, **changes):
    """Replace columns of the data by what a function makes of them."""
    table = pq.read_table(path)
    for name, change in changes.items():
        values = pa.array(change(table[name].to_pylist(), table["variant"].to_pylist()), table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": lambda values, _: [None] * len(values)}, "no row of 'control' can be used"),
        (
            {"value": lambda values, by: [None if b == "control" else v for v, b in zip(values, by, strict=True)]},
            "'con",
        ),
        ({"variant": lambda names, _: ["control"] * len(names)}, "'control' is the only variant"),
        (
            {"variant": lambda names, _: ["a" if each == "control" else each for each in names]},
            "no row has the variant",
        ),
    ],
)
def test_data_that_compare_nothing_are_refused_with_the_reason(beast, data, tmp_path, changes, words):
    rewrite(data, **changes)
    code, _, err = beast("experiment", "analyze", "--data", data, "--out", tmp_path / "out", "--no-plots")
    assert code == 2
    assert words in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_an_empty_variant_and_a_clock_that_is_ahead_keep_nothing_from_being_said_of_the_others(beast, data, tmp_path):
    def emptied(values, by):
        return [None if name == "worse" else value for value, name in zip(values, by, strict=True)]

    def ahead(times, by):
        return [time.replace(year=2099) if i % 500 == 0 else time for i, time in enumerate(times)]

    rewrite(data, value=emptied, observed_at=ahead)
    code, printed, _ = beast("experiment", "analyze", "--data", data, "--out", tmp_path / "out", "--no-plots")
    assert code == 0
    assert "Ship 'new'" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    worse = report["variants"]["worse"]
    assert (worse["n_units"], worse["effect"], worse["low"], worse["p_value"]) == (0, None, None, 1.0)
    assert report["excluded"]["observed in the future"] == 3
    assert report["excluded"]["no finite value"] > 900


def test_an_experiment_is_created_ramped_listed_and_stopped_in_its_file(beast, tmp_path):
    file = ("--experiments", tmp_path / "experiments.json")
    code, _, _ = beast(
        "experiment", "create", "cheaper", "--variant", "new=challenger:0.1", "--guardrail", "errors=0.02", *file
    )
    assert code == 0
    (created,) = read_experiments(tmp_path / "experiments.json").experiments
    assert {each.name: each.share for each in created.variants} == {"control": 0.9, "new": 0.1}
    assert created.guardrails[0].most_harm == 0.02
    beast("experiment", "create", "cheaper", "--variant", "new=challenger:0.5", *file)
    code, printed, _ = beast("experiment", "status", *file)
    assert code == 0
    assert "cheaper" in printed
    code, printed, _ = beast("experiment", "stop", "cheaper", "--json", *file)
    assert code == 0
    (stopped,) = json.loads(printed)
    assert stopped["status"] == "stopped"
    assert [each["shares"] for each in stopped["history"]] == [
        {"control": 0.9, "new": 0.1},
        {"control": 0.5, "new": 0.5},
        {},
    ]


def test_what_is_not_said_anew_stays_as_it_is_and_is_dropped_only_when_asked(beast, tmp_path):
    def create(*arguments):
        code, printed, said = beast(
            "experiment", "create", "trial", *arguments, "--json", "--experiments", tmp_path / "experiments.json"
        )
        assert code == 0, said
        (shown,) = json.loads(printed)
        return shown

    protected = (
        "guardrails",
        "tenants",
        "allocation",
        "metric",
        "shadow",
        "shadow_share",
        "unit",
        "layer",
        "layer_share",
    )
    first = create(
        "--variant", "new=challenger:0.1", "--guardrail", "errors=0.02", "--tenant", "acme", "--best-arm",
        "--metric", "cost", "--shadow", "challenger", "--shadow-share", 0.5, "--unit", "session",
        "--layer", "top", "--layer-share", 0.5,
    )  # fmt: skip
    ramped = create("--variant", "new=challenger:0.5")
    assert {each["name"]: each["share"] for each in ramped["variants"]} == {"control": 0.5, "new": 0.5}
    assert {name: ramped[name] for name in protected} == {name: first[name] for name in protected}
    kept = create("--guardrail", "quality=0.01")
    assert kept["variants"] == ramped["variants"]
    assert [each["metric"] for each in kept["guardrails"]] == ["quality"]
    bare = create("--no-guardrails", "--all-tenants", "--fixed-shares", "--no-shadow")
    dropped = (bare["guardrails"], bare["tenants"], bare["allocation"], bare["shadow"])
    assert dropped == ([], None, "fixed", None)
    assert bare["metric"] == "cost"


def test_variants_of_one_policy_are_answered_out_of_the_cache_in_ways_of_their_own(beast, tmp_path):
    file = ("--experiments", tmp_path / "experiments.json")
    variants = ("--variant", "fresh=champion:0.2", "--variant", "young=champion:0.2", "--variant", "same=champion:0.2")
    caches = ("--cache", "fresh=none", "--cache", "young=3600", "--cache", "same=equal")
    assert beast("experiment", "create", "trial", *variants, *caches, *file)[0] == 0
    (begun,) = read_experiments(tmp_path / "experiments.json").experiments
    assert [variant_text(each) for each in begun.variants] == [
        "control 0.4 (champion)",
        "fresh 0.2 (champion, no cache)",
        "young 0.2 (champion, nothing from the cache after 3600 s)",
        "same 0.2 (champion, equal requests from the cache)",
    ]
    assert beast("experiment", "create", "trial", "--variant", "fresh=champion:0.5", *file)[0] == 0
    (ramped,) = read_experiments(tmp_path / "experiments.json").experiments
    assert [(each.name, each.cache and each.cache.hits) for each in ramped.variants] == [
        ("control", None),
        ("fresh", "none"),
    ]
    again = ("--variant", "fresh=champion:0.5", "--cache", "fresh=equal")
    code, _, err = beast("experiment", "create", "trial", *again, *file)
    assert code == 2
    assert "in another way: start another experiment" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "a", "--cache", "new=none"), "give every --variant"),
        (("create", "a", "--variant", "new=champion:0.5", "--cache", "old=none"), "'old', which is no variant"),
        (("create", "a", "--variant", "new=champion:0.5", "--cache", "new"), "NAME=none, NAME=equal, or NAME=SECONDS"),
        (("create", "a", "--variant", "new=champion:0.5", "--cache", "new=0"), "must be above 0"),
        (("create", "a", "--tenant", "acme", "--all-tenants"), "give --tenant or --all-tenants"),
        (("create", "a", "--control-share", 0.5), "give every --variant"),
        (("create",), "give an ID and --variant"),
        (("create", "--from-report", "r.json"), "as a savings report"),
        (("create", "a", "--from-report", "r.json"), "give no ID"),
        (("create", "a"), "neither variants nor a shadow"),
        (("create", "a", "--variant", "new"), "NAME=POLICY:SHARE"),
        (("create", "a", "--variant", "new=challenger:much"), "is no number"),
        (("create", "a", "--variant", "new=shadow:0.5"), "never served"),
        (("create", "a", "--variant", "new=challenger:0.5", "--unit", "planet"), "draws by 'planet'"),
        (("create", "a", "--variant", "new=challenger:0.5", "--guardrail", "joy=1"), "must be one of quality"),
        (("stop", "a"), "there is no experiment 'a'"),
        (("design", "--sd", 1), "give --effect or --units"),
        (("design", "--sd", 0, "--effect", 0.1), "`standard_deviation`"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused(beast, tmp_path, arguments, words):
    file = () if arguments[0] == "design" else ("--experiments", tmp_path / "experiments.json")
    code, _, err = beast("experiment", *arguments, *file)
    assert code == 2
    assert words in " ".join(err.split())


def test_a_design_says_how_long_it_takes(beast):
    code, printed, _ = beast("experiment", "design", "--sd", 1, "--effect", 0.1, "--units-per-day", 314, "--json")
    assert code == 0
    design = json.loads(printed)
    assert design["n_fixed"] == 3140
    assert design["days"]["fixed"] == 10.0
    code, printed, _ = beast("experiment", "design", "--sd", 1, "--units", 3139)
    assert "To find an effect of 0.1" in printed


def test_the_log_is_analysed_and_a_bad_variant_is_stopped(beast, tmp_path):
    code, _, _ = beast(
        "experiment", "create", "trial", "--variant", "new=challenger:0.5", "--guardrail", "errors=0.05",
        "--experiments", tmp_path / "e.json",
    )  # fmt: skip
    assert code == 0
    (trial,) = read_experiments(tmp_path / "e.json").experiments
    quality, errors = {"control": 0.5, "new": 0.6}, {"control": 0.02, "new": 0.3}
    experiment_store(tmp_path / "log", trial, 2_000, quality, errors)
    where = ("--experiments", tmp_path / "e.json", "--store", tmp_path / "log")
    code, printed, _ = beast(
        "experiment", "analyze", "--experiment", "trial", "--metric", "errors", *where, "--out", "out"
    )
    assert code == 0
    assert "Keep control: 'new': errors +" in printed
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sample_ratio"]["found"] is False
    _, printed, _ = beast("experiment", "analyze", "--experiment", "trial", *where, "--out", "out2", "--no-plots")
    assert "Keep control: 'new' breaks a guardrail: worse than the control in errors" in " ".join(printed.split())
    code, printed, _ = beast("experiment", "guard", *where, "--dry-run", "--json")
    assert json.loads(printed)[0]["written"] is False
    assert read_experiments(tmp_path / "e.json").running()
    code, printed, _ = beast("experiment", "guard", *where)
    assert code == 0
    assert "trial: 'new' is worse than the control in errors by at least" in printed
    assert not read_experiments(tmp_path / "e.json").running()
    _, printed, _ = beast("experiment", "status", "--experiments", tmp_path / "e.json")
    assert "trial: a guardrail stopped 'new' on" in " ".join(printed.split())
    quality, errors = read_analyses(tmp_path / ANALYSES_FILE).analyses
    assert (quality.metric, errors.metric) == ("quality", "errors")
    new = json.loads((tmp_path / "out" / "report.json").read_text())["variants"]["new"]
    assert errors.report["variants"]["new"] == new  # what `analyze` said
    assert errors.report["verdict"]["decision"] == quality.report["verdict"]["decision"] == "keep control"


def test_of_an_experiment_that_nobody_uses_it_is_said_what_is_waited_for(beast, tmp_path):
    write_experiments(tmp_path / "e.json", Experiments((experiment_of(),)))
    code, _, _ = beast("experiment", "guard", "--experiments", tmp_path / "e.json", "--store", tmp_path / "empty")
    assert code == 0
    (kept,) = read_analyses(tmp_path / ANALYSES_FILE).analyses
    assert (kept.report, kept.metric) == (None, "quality")
    assert kept.waiting


def test_a_guard_without_work_imports_nothing_heavy(tmp_path):
    write_experiments(tmp_path / "e.json", Experiments((experiment_of(status="stopped"),)))
    code = (
        "import sys; from beast_ml.cli.main import run; sys.argv = ['beast', 'experiment', 'guard', '--json', "
        f"'--experiments', {str(tmp_path / 'e.json')!r}]\n"
        "try: run()\nexcept SystemExit: pass\n"
        "print(sorted({'duckdb', 'pyarrow', 'pandas', 'scipy', 'mlflow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert printed.split("\n")[-2] == "[]"
