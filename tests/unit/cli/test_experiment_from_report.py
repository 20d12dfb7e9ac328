"""`beast experiment create --from-report`: a switch of a savings report, started on a registry of the test's own."""

import json

import msgspec
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.domain import Objective
from beast_ml.experiments.experiments_file import read_experiments
from beast_ml.policy.spec import PolicySpec
from beast_ml.registry.recorded_evidence import amend_evidence, recorded_evidence
from beast_ml.registry.resolve import resolve_version
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    make_bundle,
    register,
    small_bundle,
)

POLICY = PolicySpec("router", "large", Objective(willingness_to_pay=0.5))
FIGURES = {
    "saving": 0.3,
    "saving_low": 0.2,
    "saving_high": 0.4,
    "quality": 0.0,
    "quality_low": -0.005,
    "quality_high": 0.005,
    "effective": 400.0,
}


@pytest.fixture
def address(config, register, tmp_path):  # noqa: F811 - the fixtures
    """Return the address of a router, of which a report speaks in report.json."""
    version = register("one").version
    digest = verify(resolve_version(f"models:/beast-router/{version}", config).path).training_digest
    amend_evidence(version, config, msgspec.structs.replace(recorded_evidence(version, config), data_digest=digest))
    half = msgspec.to_builtins(POLICY)
    switches = [
        {"name": name, "how": "do it", "policy": policy, "checked": None, "recommended": name != "less", **FIGURES}
        for name, policy in (("half the willingness", half), ("a cache", None), ("less", half))
    ]
    (tmp_path / "report.json").write_text(json.dumps({"champion": digest, "switches": switches}))
    return f"models:/beast-router/{version}"


def test_a_switch_is_tried_on_a_share_of_the_users(beast, address, tmp_path):
    options = ("--from-report", "report.json", "--router", address, "--share", 0.2, "--experiments", "e.json")
    code, printed, said = beast("experiment", "create", *options, "--json")
    assert code == 0, said
    (shown,) = json.loads(printed)
    (kept,) = read_experiments(tmp_path / "e.json").experiments
    assert shown["id"] == kept.id
    assert {each.policy: each.share for each in kept.variants} == {"champion": 0.8, "challenger": 0.2}
    assert f"analyze --experiment {kept.id}" in " ".join(said.split())
    assert "does not recommend" not in said
    code, _, said = beast("experiment", "create", *options)
    assert code == 2
    assert "serves the challenger already" in " ".join(said.split())
    code, _, said = beast("experiment", "create", *options, "--number", 2)
    assert code == 2
    assert "no experiment of two routers can show this" in " ".join(said.split())


def test_a_switch_that_is_not_recommended_is_tried_with_a_warning(beast, address):
    options = ("--from-report", "report.json", "--number", 3, "--router", address, "--experiments", "e.json")
    code, _, said = beast("experiment", "create", *options)
    assert code == 0, said
    told = " ".join(said.split())
    assert "does not recommend less: it saves 30.0% [20.0%, 40.0%] at +0.0 points of quality [-0.5, +0.5]" in told
