"""`beast learn` in this process, where there is little to learn from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from beast_ml.errors import RegistryUnavailableError
from beast_ml.operations.learning_loop.live import LiveSurroundings
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import training_run
from beast_ml.testing.drifting_logs import drifting_log, drifting_rows


def test_without_a_log_it_waits_and_says_what_for(beast, tmp_path, migrated_store):
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    code, out, _ = beast("learn", "status")
    assert (code, "has not run yet" in out) == (0, True)
    code, out, said = beast("learn", "once")
    assert code == 0
    assert "there is no log store in data/logs yet" in " ".join(said.split())
    assert "is at `collect` and waits: 0 new labelled requests, 1,000 are needed" in out
    code, out, _ = beast("learn", "status", "--json")
    assert json.loads(out)["step"] == "collect"


@pytest.mark.parametrize("command", ["once", "watch"])
def test_a_log_store_that_is_not_there_is_not_waited_for(beast, command):
    code, _, said = beast("learn", command, "--store", "data/lgos")
    assert code == 2
    assert "no log store in data/lgos" in " ".join(said.split())


def test_a_log_store_at_an_address_is_not_looked_for_on_this_machine(beast, monkeypatch):
    monkeypatch.setenv("BEAST_LOGS__STORE", "memory://logs")
    assert "there is no log store" not in beast("learn", "once")[2]


def test_what_cannot_be_learnt_from_ends_the_cycle_with_the_reason(beast, tmp_path, migrated_store):
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    drifting_log(tmp_path / "data" / "logs", drifting_rows(np.random.default_rng(0), days=14))  # without prompts
    code, out, _ = beast("learn", "once", "--json")
    assert code == 0
    ended = json.loads(out)["state"]["finished"][-1]
    assert ended["verdict"] == "rejected"
    assert "has both a chosen model and its prompt" in ended["reason"]
    code, out, _ = beast("learn", "status")
    assert "rejected" in out


def test_changes_are_listed_with_what_became_of_them_and_looking_makes_no_store(beast, tmp_path, migrated_store):
    code, out, _ = beast("learn", "changes")
    assert (code, "Nothing was proposed yet" in out) == (0, True)
    assert not (tmp_path / "mlflow.db").exists()
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    config = TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts")
    with training_run(config, "tune router", "", {"kind of run": "tuning", "verdict": "tuned settings kept"}):
        pass
    code, out, _ = beast("learn", "changes", "--json")
    (change,) = json.loads(out)
    assert (change["origin"], change["what"], change["outcome"]) == ("tuning", "tune router", "adopted")
    assert "Evidence adopted 1 of 1 proposals" in beast("learn", "changes")[1]


def test_a_state_that_is_damaged_is_refused(beast, tmp_path):
    (tmp_path / "data" / "learning").mkdir(parents=True)
    (tmp_path / "data" / "learning" / "loop.json").write_text("{")
    code, _, error = beast("learn", "once")
    assert code == 2
    assert "holds no state of the loop" in error


def test_watching_goes_on_when_something_is_away_and_stops_when_told_to(beast, tmp_path, migrated_store, monkeypatch):
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 1:
            monkeypatch.setattr(LiveSurroundings, "collect", away)
        elif len(slept) == 3:
            raise KeyboardInterrupt

    def away(*_):
        raise RegistryUnavailableError("the registry does not answer")

    monkeypatch.setattr("time.sleep", sleep)
    code, out, error = beast("learn", "watch", "--every", "7")
    assert code == 0
    assert slept == [7.0, 7.0, 7.0]
    assert "the next run goes on from here" in out
    assert error.count("the registry does not answer; the loop stays where it is") == 1
