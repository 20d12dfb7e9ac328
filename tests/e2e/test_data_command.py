"""`beast data` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def beast(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from beast_ml.cli.main import run; run()", "data", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "BEAST_DATA_DIR"}
    # A proxy that answers nothing stands for a machine without a network.
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "COLUMNS": "200", **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**environment, **offline})


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    result = beast("pull", "quickstart-val", "quickstart-test", "--dir", folder)
    assert result.returncode == 0, result.stderr
    assert "quickstart-val: 5,355 rows, 1,785 queries, 3 models" in result.stdout
    assert "quickstart-val: licence Apache-2.0" in result.stderr
    return folder


def test_list_tells_what_is_here(pulled: Path) -> None:
    entries = {entry["name"]: entry for entry in json.loads(beast("list", "--dir", pulled, "--json").stdout)}
    assert entries["quickstart-val"]["state"] == "here"
    assert entries["quickstart-val"]["n_rows"] == 5355
    assert entries["mmlu_pro"]["state"] == "absent"
    assert not entries["messplus"]["pullable"]
    table = beast("list", BEAST_DATA_DIR=str(pulled))
    assert "routerbench3" in table.stdout
    assert "not pullable" in table.stdout


def test_describe_adds_statistics_of_what_is_here(pulled: Path) -> None:
    described = json.loads(beast("describe", "quickstart-test", "--dir", pulled, "--json").stdout)
    assert described["statistics"]["n_queries"] == 1824
    assert described["verified"] == "every file against its published sha256"
    text = beast("describe", "quickstart-test", "--dir", pulled).stdout
    assert "google/gemini-2.5-pro" in text
    assert "quality is a judge model's reward" in text


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("routellm_pair", "`beast data pull routellm_pair` fetches it"),
        ("bfcl_2024_08", "no converter for them"),
        ("routerdc7", "digests.json"),
    ],
)
def test_describe_tells_how_to_get_what_is_not_here(tmp_path: Path, name: str, hint: str) -> None:
    result = beast("describe", name, "--dir", tmp_path)
    assert result.returncode == 0
    assert hint in " ".join(result.stdout.split())


def test_what_is_here_is_not_pulled_again_unless_forced(pulled: Path) -> None:
    again = beast("pull", "quickstart-val", "--dir", pulled, "--json")
    assert json.loads(again.stdout)[0]["pulled"] is False
    assert "is here already" in again.stderr
    forced = json.loads(beast("pull", "quickstart-val", "--dir", pulled, "--force", "--json").stdout)[0]
    assert forced["pulled"] is True
    assert forced["n_rows"] == 5355


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mmlu"], "no public set is called 'mmlu'"),
        (["routerbench3"], "add --accept-licence"),
        (["messplus", "--accept-licence"], "messplus cannot be pulled"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = beast("pull", *arguments, "--dir", tmp_path)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_without_a_network_the_error_says_so(tmp_path: Path) -> None:
    result = beast("pull", "routerbench3", "--accept-licence", "--dir", tmp_path, "--json")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "check the network and pull again" in " ".join(result.stderr.split())
    assert not (tmp_path / "routerbench3" / "outcomes.parquet").exists()
