from datetime import timedelta

import msgspec
import numpy as np
import pytest

from beast_ml.experiments.definitions import Guardrail, SharesSince
from beast_ml.experiments.log_analysis import analyse_log
from beast_ml.experiments.tend import tend
from beast_ml.testing.experiment_logs import experiment_of, experiment_store
from beast_ml.testing.experiments import NOW

TRIAL = experiment_of(guardrails=(Guardrail(metric="errors", most_harm=0.02),))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    quality, errors = {"control": 0.5, "new": 0.7}, {"control": 0.01, "new": 0.3}
    return experiment_store(tmp_path_factory.mktemp("log"), TRIAL, 2_000, quality, errors)


def verdicts(experiment, store):
    return {each.metric: each.report["verdict"] for each in analyse_log(experiment, store, NOW)}


def test_a_better_variant_that_breaks_a_guardrail_is_not_to_be_shipped_before_or_after_it_is_stopped(store):
    stopped = tend(TRIAL, store, NOW, np.random.default_rng(0)).experiment
    assert stopped.status == "stopped"
    for experiment in (TRIAL, stopped):
        found = verdicts(experiment, store)
        assert {each["decision"] for each in found.values()} == {"keep control"}
        assert "'new' breaks a guardrail: worse than the control in errors" in found["quality"]["sentence"]
    assert verdicts(msgspec.structs.replace(TRIAL, guardrails=()), store)["quality"]["decision"] == "ship"


def test_what_was_stopped_is_not_to_be_shipped_until_somebody_gives_it_a_share_again(store):
    stopped = tend(TRIAL, store, NOW, np.random.default_rng(0)).experiment
    dropped = msgspec.structs.replace(stopped, guardrails=())
    assert verdicts(dropped, store)["quality"]["decision"] == "keep control"
    later = SharesSince(at=NOW + timedelta(hours=1), shares={"control": 0.5, "new": 0.5})
    again = msgspec.structs.replace(dropped, status="running", history=(later,))
    assert verdicts(again, store)["quality"]["decision"] == "ship"
