import msgspec
import pytest
from typer.testing import CliRunner

from beast_ml.benchmarks.serving import serving_bench
from beast_ml.benchmarks.serving.cases import Bodies, CaseResult, Effort, Repeat
from beast_ml.benchmarks.serving.drive import Measured
from beast_ml.benchmarks.serving.faults import Timing
from beast_ml.benchmarks.serving.load_plan import LoadResult, Quantiles
from beast_ml.benchmarks.serving.serving_bench import PARTS, ServingBench, ServingConfig, choose
from beast_ml.cli.bench import app
from beast_ml.errors import InputError, UnavailableError

LOAD = LoadResult(generator="own", seconds=1.0, answered=9, failures={}, latency=Quantiles(1.0, 2.0, 3.0, 4.0))
MEASURED = Measured(load=LOAD, worker_cpu_us=1.0, other_cpu_us=0.0, worker_mb=1.0, other_mb=0.0, busy=(1.0,))


@pytest.fixture
def measured_cases(monkeypatch, tmp_path):
    """Names of cases that were measured; nothing is started."""
    names = []

    def measure(case, effort, cores, folder, *, wrk):
        names.append((case.name, case.workers, case.path))
        repeat = Repeat(ready_s=1.0, full=MEASURED, half=MEASURED)
        return CaseResult(name=case.name, workers=case.workers, decisions=1, repeats=(repeat,))

    kinds = ("unseen", "seen", "features", "batch")
    monkeypatch.setattr(serving_bench, "measure_case", measure)
    monkeypatch.setattr(serving_bench, "base_prompts", lambda data: ["p"])
    monkeypatch.setattr(serving_bench, "quickstart_bundle", lambda out, part=0: tmp_path)
    monkeypatch.setattr(serving_bench, "write_all", lambda *_: {kind: Bodies(tmp_path / kind) for kind in kinds})
    return names


def make_config(out, **changes):
    settings = {
        "parts": ("capacity",),
        "effort": Effort(1.0, 0.1, 1),
        "workers": 2,
        "wrk": False,
        "litellm": None,
        "soak_minutes": 0.0,
        "soak_rate": 1.0,
        "faults": (),
        "timing": Timing(1.0, 1.0, 1.0, 1.0),
        "data": None,
        "out": out,
    }
    return ServingConfig(**(settings | changes))


def test_the_echo_is_measured_first_and_last_beside_every_case(measured_cases, tmp_path):
    result = ServingBench(make_config(tmp_path)).run()
    ours = [(kind, n) for kind in ("unseen", "seen", "features", "batch") for n in (1, 2)]
    expected = [("echo, before", 1), ("echo, before", 2), *ours, ("echo, after", 1), ("echo, after", 2)]
    assert [(case.name, case.workers) for case in result.cases] == expected
    assert ("batch", 1, "/v1/route/batch") in measured_cases
    assert result.case("seen", 2) is not None
    assert result.case("seen", 3) is None


def test_a_run_goes_on_where_it_stopped_and_other_settings_measure_anew(measured_cases, tmp_path):
    first = ServingBench(make_config(tmp_path)).run()
    n_measured = len(measured_cases)
    assert msgspec.json.encode(ServingBench(make_config(tmp_path)).run().cases) == msgspec.json.encode(first.cases)
    assert len(measured_cases) == n_measured
    (tmp_path / "cases").joinpath(next(path.name for path in (tmp_path / "cases").glob("seen-1*"))).unlink()
    ServingBench(make_config(tmp_path)).run()
    assert measured_cases[n_measured:] == [("seen", 1, "/v1/route")]
    ServingBench(make_config(tmp_path, wrk=True)).run()
    assert len(measured_cases) == 2 * n_measured + 1


def test_a_case_that_fails_is_left_out_with_its_reason_and_measured_next_time(measured_cases, tmp_path, monkeypatch):
    measure = serving_bench.measure_case

    def fails(case, *rest, **known):
        if case.name == "seen":
            raise UnavailableError("no server\ntoday")
        return measure(case, *rest, **known)

    monkeypatch.setattr(serving_bench, "measure_case", fails)
    said = []
    result = ServingBench(make_config(tmp_path, workers=1), said.append).run()
    assert result.left_out == {"seen, 1 worker": "no server\ntoday"}
    assert "warning: seen, 1 worker is left out: no server" in said
    monkeypatch.setattr(serving_bench, "measure_case", measure)
    assert ServingBench(make_config(tmp_path, workers=1)).run().left_out == {}


def test_without_an_echo_there_is_nothing_to_compare_with(measured_cases, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise UnavailableError("no port")

    monkeypatch.setattr(serving_bench, "measure_case", fails)
    with pytest.raises(UnavailableError, match="no port"):
        ServingBench(make_config(tmp_path)).run()


def test_litellm_runs_beside_where_there_is_one(measured_cases, tmp_path):
    ServingBench(make_config(tmp_path, litellm=tmp_path / "python")).run()
    assert ("LiteLLM's router, mocked responses", 1, "/") in measured_cases


def test_names_are_chosen_in_the_order_of_reports():
    assert choose("--parts", None, PARTS) == PARTS
    assert choose("--parts", " soak , capacity", PARTS) == ("capacity", "soak")
    for wrong in ("speed", "", ","):
        with pytest.raises(InputError, match="there are capacity, gateway, hit, faults, soak"):
            choose("--parts", wrong, PARTS)


def test_the_command_writes_reports_and_says_what_is_met(measured_cases, tmp_path):
    out = tmp_path / "out"
    ran = CliRunner().invoke(app, ["serving", "--quick", "--parts", "capacity", "--workers", "1", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert {path.name for path in out.iterdir()} >= {"report.md", "report.json", "capacity.png", "cases"}
    assert "unseen prompts, 1 worker" in ran.output
    again = CliRunner().invoke(
        app, ["serving", "--quick", "--parts", "capacity", "--workers", "1", "--out", str(out), "--json"]
    )
    assert msgspec.json.decode(again.stdout)["settings"]["repeats"] == 1
