"""A switch as an experiment: registered as the challenger, served to a share of the users."""

import msgspec
import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.domain import Objective
from beast_ml.errors import InputError
from beast_ml.evaluation.off_policy.verdict import PolicyVerdict
from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
from beast_ml.operations.savings.apply import start_experiment
from beast_ml.operations.savings.estimates import SwitchEstimate
from beast_ml.operations.savings.report import RankedSwitch
from beast_ml.operations.savings.switches import Redecided, Switch
from beast_ml.policy.spec import PolicySpec
from beast_ml.registry.recorded_evidence import amend_evidence, recorded_evidence
from beast_ml.registry.resolve import resolve_version

NOTHING = Redecided(np.zeros(1, dtype=np.intp), np.ones(1), np.full(1, -1))
VERDICT = PolicyVerdict("trust", "it is so", (), None)
ESTIMATE = SwitchEstimate(0.3, 0.2, 0.4, 0.0, -0.005, 0.005, 0.5, 400.0, VERDICT)


def ranked(policy: PolicySpec | None) -> RankedSwitch:
    return RankedSwitch(Switch("willingness", "half the willingness", NOTHING, "set the budget", policy), ESTIMATE)


def test_the_champion_s_bundle_under_another_policy_serves_a_share_beside_it(config, register, tmp_path) -> None:
    version = register("one").version
    address = f"models:/beast-router/{version}"
    digest = verify(resolve_version(address, config).path).training_digest
    known = recorded_evidence(version, config)
    amend_evidence(version, config, msgspec.structs.replace(known, data_digest=digest))
    policy = PolicySpec("router", "large", Objective(willingness_to_pay=0.5, min_quality=0.4))
    said = start_experiment(ranked(policy), 0.1, address, config, tmp_path / "state")
    assert "serves 10% of the users" in said
    found = read_experiments(tmp_path / "state" / EXPERIMENTS_FILE).experiments[0]
    assert [(each.policy, each.share) for each in found.variants] == [("champion", 0.9), ("challenger", 0.1)]
    assert {each.metric for each in found.guardrails} == {"errors", "quality"}
    made = resolve_version("models:/beast-router@challenger", config)
    assert msgspec.json.decode((made.path / "policy.json").read_bytes(), type=PolicySpec) == policy
    assert recorded_evidence(made.version, config).reference == "logging_policy"
    with pytest.raises(InputError, match="serves the challenger already"):
        start_experiment(ranked(policy), 0.1, address, config, tmp_path / "state")


def test_what_is_no_policy_of_the_bundle_says_what_to_do_instead(config, tmp_path) -> None:
    with pytest.raises(InputError, match="set the budget"):
        start_experiment(ranked(None), 0.1, "models:/beast-router@champion", config, tmp_path)
    policy = PolicySpec("single", "large", Objective(willingness_to_pay=0.0), "none")
    with pytest.raises(InputError, match="register it"):
        start_experiment(ranked(policy), 0.1, "bundles/mine", config, tmp_path)
