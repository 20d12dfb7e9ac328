"""A model's life as an operator lives it: asked and added, served, compared, watched while it fails, retired."""

import json
import shutil
import sys

import openai
import pandas as pd
import pytest
import yaml

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.bundle.manifest import verify
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.promotion import promote
from beast_ml.registry.resolve import resolve_version
from beast_ml.testing.fake_provider import FakeProvider, Outcome, ProviderScript
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture is used by name
from beast_ml.testing.router_fixtures import world  # noqa: F401 - as above
from beast_ml.testing.worlds import WORLD_MODELS, WORLD_PRICES

RIGHT, WRONG = Outcome(text="Rome", latency_s=0.02), Outcome(text="Paris", latency_s=0.02)
SCRIPT = ProviderScript(
    {"newest": (RIGHT, RIGHT, RIGHT, WRONG), **dict.fromkeys(WORLD_MODELS, (RIGHT, WRONG))},
    order="by_prompt",
    api_key="secret",
)


@pytest.fixture
def provider():
    with FakeProvider(SCRIPT) as running:
        yield running


@pytest.fixture
def deployment(tmp_path, migrated_store, router_folder, provider, monkeypatch):  # noqa: F811
    """A champion in a registry, endpoints of its models, and settings, in the working directory."""
    monkeypatch.setenv("PROVIDER_KEY", "secret")
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    tracking = TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    evidence = make_evidence(data_digest=verify(router_folder).training_digest)
    register_bundle(router_folder, evidence, tracking=tracking, name="outcomes")
    promote(tracking)
    settings = {
        "tracking": {"uri": tracking.uri, "artifacts": str(tracking.artifacts)},
        "endpoints": [
            {"name": f"{name}-1", "model": name, "base_url": provider.base_url(name), "api_key_env": "PROVIDER_KEY"}
            for name in WORLD_MODELS
        ],
        "candidates": [
            {
                "name": name,
                "input_usd_per_mtok": WORLD_PRICES[name].input_usd_per_mtok,
                "output_usd_per_mtok": WORLD_PRICES[name].output_usd_per_mtok,
            }
            for name in WORLD_MODELS
        ],
    }
    (tmp_path / "mlflow.yaml").write_text("# ours\n" + yaml.safe_dump(settings))
    return tracking


@pytest.fixture
def served(deployment, tmp_path):
    port = free_port()
    arguments = ["--port", str(port), "--state", str(tmp_path / "data" / "serving")]
    server = ServerProcess.start(
        [sys.executable, "-m", "beast_ml.cli", "serve", *arguments],
        port,
        tmp_path / "server.log",
        within_s=240.0,
        folder=tmp_path,
    )
    yield server, f"http://127.0.0.1:{port}"
    server.kill()


def answer(run):
    code, out, err = run
    assert code == 0, err
    return json.loads(out)


@pytest.mark.slow
def test_a_model_from_its_endpoint_to_its_retirement(beast, deployment, served, provider, world, tmp_path):  # noqa: F811
    server, url = served
    prompts = pd.DataFrame({"query_id": world.outcomes.query_ids, "prompt": world.outcomes.prompts})
    prompts.assign(reference="rome.").to_csv(tmp_path / "prompts.csv", index=False)

    # Added by one command: asked, graded, registered, challenger, in mlflow.yaml.
    options = ("--endpoint", provider.base_url("newest"), "--api-key-env", "PROVIDER_KEY", "--price", "0.5,1.5")
    more = ("--prompts", "prompts.csv", "--judge", "equal", "--probe", 40, "--max-usd", 0.5, "--write", "--json")
    added = answer(beast("models", "add", "newest", *options, *more))
    assert added["asked"]["answered"] == added["asked"]["graded"] == added["n_probes"] == 40
    assert 0 < added["asked"]["spent_usd"] <= 0.5
    assert added["challenger"] is True
    assert added["expected_quality"]["newest"]["low"] < 0.75 < added["expected_quality"]["newest"]["high"] + 0.1
    newest = resolve_version("models:/beast-router@challenger", deployment, tmp_path / "cache")
    assert newest.version == added["version"] == 2
    assert "newest" in verify(newest.path).models
    written = (tmp_path / "mlflow.yaml").read_text()
    assert written.startswith("# ours\n")
    assert yaml.safe_load(written)["endpoints"][0]["model"] == "newest"
    assert len([call for call in provider.calls if call.model == "newest"]) == 40

    # Compared by asking: the same prompts, paired.
    live = ("--live", "--prompts", "prompts.csv", "--n-prompts", 60, "--judge", "equal", "--out", "report", "--json")
    compared = answer(beast("models", "compare", "small", "newest", *live))
    gap = next(row for row in compared["compared"] if row["model"] == "newest" and row["measure"] == "quality")
    assert gap["n"] == 60
    assert gap["difference"]["low"] <= 0.25 <= gap["difference"]["high"] + 0.05
    assert (tmp_path / "report" / "comparison.png").exists()

    # Served; one endpoint dies, and the server says so.
    client = openai.OpenAI(api_key="any", base_url=f"{url}/v1", max_retries=0, timeout=30)
    ask = [{"role": "user", "content": "python loop compile"}]
    for _ in range(2):  # fewer than will fail: all may fall into one minute
        client.chat.completions.create(model="small", messages=ask)
    provider.fail("unavailable", model="small")
    for _ in range(40):
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(model="small", messages=ask)
    for _ in range(20):  # gauges follow once a second, and it is tried again now and then
        health = answer(beast("models", "health", "--url", url, "--json"))
        now = {row["endpoint"]: row for row in health["now"]}
        if now["small-1"]["breaker"] == "open":
            break
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(model="small", messages=ask)
    assert now["small-1"]["breaker"] == "open"
    assert now["small-1"]["errors"]["provider"] >= 3
    assert now["large-1"]["breaker"] == "closed"
    server.stop()

    # The log says it, too; and that clients name it, so it is not retired just so.
    assert beast("logs", "compact")[0] == 0
    past = answer(beast("models", "health", "--json"))["log"]
    small = next(row for row in past["models"] if row["endpoint"] == "small-1")
    assert small["errors"]["provider"] == now["small-1"]["errors"]["provider"]
    assert small["low"] < small["availability"] < small["high"]
    assert small["incidents"][-1]["error_kind"] == "provider"
    code, _, err = beast("models", "retire", "small", "--prompts", "prompts.csv")
    assert code == 2
    assert "named it themselves" in " ".join(err.split())

    # Retired: a version without it, the challenger, to go through the gates.
    retired = answer(beast("models", "retire", "small", "--prompts", "prompts.csv", "--anyway", "--json"))
    assert retired["challenger"] is True
    assert retired["effect"]["by"] == "predictions"
    left = resolve_version("models:/beast-router@challenger", deployment, tmp_path / "cache")
    assert verify(left.path).models == ("large", "medium")
    code, out, err = beast("promote", "--version", retired["version"], "--json")
    assert (code == 0) == retired["gates_pass"], (out, err)
