from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from beast_ml.testing.deployments import make_deployment

Beast = Callable[..., tuple[int, str, str]]


@pytest.fixture
def deployed(tmp_path: Path, beast: Beast) -> Path:
    """Return the working directory, a deployment in it."""
    make_deployment(tmp_path)
    return tmp_path


def test_a_deployment_goes_there_and_back(
    beast: Beast, deployed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    code, out, _ = beast("backup", "--to", elsewhere, "--json")
    assert code == 0
    made = json.loads(out)
    assert made["n_files"] > 8
    assert "data/serving/metrics" in made["left_out"]
    code, out, _ = beast("backup", "--to", elsewhere, "--keep", 1)
    assert code == 0
    assert "shared with the backup before" in out
    assert Path(made["folder"]).name in out  # pruned
    code, out, err = beast("restore", elsewhere, "--into", elsewhere / "new")
    assert code == 0
    assert "files verified" in out
    assert "budgets" in err
    code, out, _ = beast("restore", elsewhere, "--into", elsewhere / "other", "--json")
    assert code == 0
    assert json.loads(out)["n_requests"] == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("backup", "--to", "data/serving/backups"), "lies within"),
        (("restore", "nowhere", "--into", "new"), "holds no backup"),
        (("restore", "nowhere", "--into", "new", "--at", "yesterday"), "must be a time"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(beast: Beast, deployed: Path, arguments: tuple[str, ...], said: str) -> None:
    assert deployed.is_dir()
    code, _, err = beast(*arguments)
    assert code == 2
    assert said in err


def test_a_tenant_is_forgotten_and_what_was_not_reached_is_told(
    beast: Beast, deployed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    backups = tmp_path_factory.mktemp("backups")
    beast("backup", "--to", backups)
    code, out, _ = beast("logs", "forget", "--tenant", "acme", "--dry-run", "--json")
    assert code == 0
    counted = json.loads(out)
    assert counted["counts"] == {
        "n_stored": 5,
        "n_in_segments": 1,
        "n_late": 0,
        "n_quarantined": 0,
        "n_cache_entries": 1,
    }
    state = deployed / "data/serving"
    assert not (state / "forgotten.jsonl").exists()
    code, out, err = beast("logs", "forget", "--tenant", "acme", "--yes")
    assert code == 0
    assert "Deleted: requests of acme" in out
    assert f"not reached: {backups}" in err.replace("\n", "")
    assert (state / "forgotten.jsonl").read_bytes() == (backups / "forgotten.jsonl").read_bytes()
    for file in (deployed / "data").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert b"2 + 2?" not in content, file
        assert b"the answer to acme" not in content, file
        assert b"the words of acme" not in content, file
    assert b"the answer to other" in (state / "cache.db").read_bytes()
    code, out, _ = beast("restore", backups, "--into", backups / "new", "--json")
    assert code == 0
    assert json.loads(out)["n_requests"] == 0


def test_what_is_to_come_cannot_be_forgotten(beast: Beast, deployed: Path) -> None:
    assert deployed.is_dir()
    code, _, err = beast("logs", "forget", "--tenant", "acme", "--before", "2999-01-01", "--yes")
    assert code == 2
    assert "to come" in err
