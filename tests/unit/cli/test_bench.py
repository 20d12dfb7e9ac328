import json
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from beast_ml.benchmarks import routing_bench
from beast_ml.benchmarks.comparison import run
from beast_ml.benchmarks.sets import load_set
from beast_ml.cli.main import app
from beast_ml.errors import InputError
from beast_ml.policy.learner import RouterLearner
from beast_ml.testing.router_fixtures import TINY


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "routing", *map(str, arguments)])


def test_sets_that_are_absent_leave_a_report_that_says_so(tmp_path: Path):
    result = bench("--sets", "mmlu", "--data", tmp_path, "--out", tmp_path / "out", "--parts", "shares", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["left_out"].keys() == {"mmlu"}
    assert report["settings"]["parts"] == ["shares"]
    assert (tmp_path / "out" / "report.md").is_file()


def test_quick_is_three_folds_one_seed(tmp_path: Path):
    bench("--sets", "mmlu", "--data", tmp_path, "--out", tmp_path / "out", "--parts", "shares", "--quick", "--seeds", 9)
    settings = json.loads((tmp_path / "out" / "report.json").read_text())["settings"]
    assert (settings["folds"], settings["seeds"], settings["resamples"]) == (3, 1, 200)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sets", "mnist"], "no set 'mnist'"),
        (["--parts", "luck"], "no part 'luck'"),
        (["--encoder", "psychic"], "`--encoder` == 'psychic'"),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(tmp_path: Path, options: list[str], says: str):
    result = bench(*options, "--out", tmp_path / "out")
    assert isinstance(result.exception, InputError)
    assert says in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_quickstart_set_is_measured_without_a_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routing_bench, "load_set", lambda *where: load_set(*where).rows(np.arange(150)))
    monkeypatch.setattr(routing_bench, "_our_learner", lambda name, *_: RouterLearner(name, families=TINY))
    result = bench(
        "--sets", "quickstart", "--parts", "shares,savings", "--quick", "--encoder", "hashing", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    assert "saving_100" in result.stdout
    for name in ("report.md", "report.json", "frontiers.png", "shares.png", "savings.png"):
        assert (tmp_path / name).is_file()


def test_a_comparison_says_what_it_left_out_and_how_to_have_it(beast, tmp_path):
    code, out, err = beast("bench", "peers", "--fields", "service", "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 0
    assert "Of 0 figures ours is ahead in 0" in out
    assert "--litellm" in err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["left_out"].keys() == {"service"}
    code, _, err = beast("bench", "peers", "--fields", "speed", "--data", tmp_path)
    assert code == 2
    assert "routing, cache, service" in err


def test_a_comparison_told_to_stop_ends_its_servers(beast, monkeypatch, tmp_path):
    handlers = []
    monkeypatch.setattr(run, "compare", lambda *_: (handlers.append(signal.getsignal(signal.SIGTERM)), ([], {}))[1])
    assert beast("bench", "peers", "--data", tmp_path, "--out", tmp_path / "out")[0] == 0
    assert handlers == [signal.default_int_handler]  # as Ctrl-C: context managers end their servers
