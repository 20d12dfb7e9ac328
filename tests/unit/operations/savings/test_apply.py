"""A switch as an experiment: registered as the challenger, served to a share of the users."""

import json
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.domain import Objective
from beast_ml.errors import InputError
from beast_ml.evaluation.off_policy.verdict import PolicyVerdict
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.operations.savings.apply import savings_experiment
from beast_ml.operations.savings.estimates import SwitchEstimate
from beast_ml.operations.savings.recommendation import read_recommendation, recommendation
from beast_ml.operations.savings.report import RankedSwitch, SavingsReport
from beast_ml.operations.savings.switches import Redecided, Switch
from beast_ml.policy.spec import PolicySpec
from beast_ml.registry.recorded_evidence import amend_evidence, recorded_evidence
from beast_ml.registry.resolve import resolve_version

NOTHING = Redecided(np.zeros(1, dtype=np.intp), np.ones(1), np.full(1, -1))
VERDICT = PolicyVerdict("trust", "it is so", (), None)
ESTIMATE = SwitchEstimate(0.3, 0.2, 0.4, 0.0, -0.005, 0.005, 0.5, 400.0, VERDICT)


def report(policy: PolicySpec | None, champion: str | None) -> SavingsReport:
    switch = Switch("willingness", "half the willingness", NOTHING, "set the budget", policy)
    return SavingsReport((RankedSwitch(switch, ESTIMATE),), 100, 30.0, 10.0, None, (), champion)


@pytest.fixture
def champion(config, register) -> tuple[str, str]:
    """Return the address of a registered router, and the digest of its training data."""
    version = register("one").version
    address = f"models:/beast-router/{version}"
    digest = verify(resolve_version(address, config).path).training_digest
    amend_evidence(version, config, msgspec.structs.replace(recorded_evidence(version, config), data_digest=digest))
    return address, digest


POLICY = PolicySpec("router", "large", Objective(willingness_to_pay=0.5, min_quality=0.4))


def test_the_champion_s_bundle_under_another_policy_stands_beside_it(config, champion, tmp_path) -> None:
    address, digest = champion
    made_now = report(POLICY, digest)
    (tmp_path / "report.json").write_text(json.dumps(made_now.to_dict()))
    found = read_recommendation(tmp_path / "report.json", 1)
    assert found == recommendation(made_now, made_now.ranked[0])

    experiment = savings_experiment(found, 0.1, address, config, Experiments())
    assert [(each.policy, each.share) for each in experiment.variants] == [("champion", 0.9), ("challenger", 0.1)]
    assert {each.metric for each in experiment.guardrails} == {"errors", "quality"}
    made = resolve_version("models:/beast-router@challenger", config)
    assert experiment.id.endswith(f"-v{made.version}")
    assert msgspec.json.decode((made.path / "policy.json").read_bytes(), type=PolicySpec) == POLICY
    evidence = recorded_evidence(made.version, config)
    assert (evidence.reference, evidence.cost_saving.mean) == ("logging_policy", 0.3)
    running = Experiments().put(experiment, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(InputError, match="serves the challenger already"):
        savings_experiment(found, 0.1, address, config, running)


def test_a_report_on_another_router_is_refused(config, champion) -> None:
    old = report(POLICY, "another")
    with pytest.raises(InputError, match="made with another router"):
        savings_experiment(recommendation(old, old.ranked[0]), 0.1, champion[0], config, Experiments())


def test_what_is_no_policy_of_the_bundle_says_what_to_do_instead(config) -> None:
    no_policy, elsewhere = report(None, "one"), report(POLICY, "one")
    with pytest.raises(InputError, match="set the budget"):
        savings_experiment(
            recommendation(no_policy, no_policy.ranked[0]), 0.1, "models:/beast-router@champion", config, Experiments()
        )
    with pytest.raises(InputError, match="register it"):
        savings_experiment(recommendation(elsewhere, elsewhere.ranked[0]), 0.1, "bundles/a", config, Experiments())


@pytest.mark.parametrize(
    ("written", "number", "told"),
    [("no", 1, "as a savings report"), ("{}", 1, "as a savings report"), (None, 2, "no switch 2"), (None, 0, "1 to 1")],
)
def test_what_is_no_report_or_not_in_it_is_refused(tmp_path, written, number, told) -> None:
    unknown = json.dumps(report(POLICY, None).to_dict() | {"days": float("nan")})
    (tmp_path / "report.json").write_text(unknown if written is None else written)
    with pytest.raises(InputError, match=told):
        read_recommendation(tmp_path / "report.json", number)
