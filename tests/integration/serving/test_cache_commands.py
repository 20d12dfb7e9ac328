"""`beast cache stats` and `beast cache invalidate` against a real server."""

import io
import json

import httpx2
import pytest

from beast_ml.benchmarks.serving.processes import free_port
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig


@pytest.fixture
def keys(tmp_path, monkeypatch):
    for name in ("BEAST_API_KEY", "BEAST_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    store = KeyStore.open(tmp_path / "state", None)
    return {tenant: store.create(tenant) for tenant in ("acme", "rival")}


@pytest.fixture
def served(serve, keys, tmp_path):
    """Return (address, a function that stores or looks up as a tenant)."""
    gateway = serve(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state"))
    url = gateway.url.removesuffix("/v1")

    def call(path, body, tenant="acme"):
        answer = httpx2.post(f"{url}{path}", json=body, headers={"authorization": f"Bearer {keys[tenant]}"})
        assert answer.status_code == 200, answer.text
        return answer

    return url, call


def question(n):
    return {"prompt": f"What is the square of the number {n}, and why?"}


def keep(call, n, tenant="acme", **more):
    body = {"request": question(n), "answer": n, "model": "mine", "cost_usd": 0.5, **more}
    return call("/v1/cache/store", body, tenant).json()["entry_id"]


def found(call, tenant="acme"):
    results = {n: call("/v1/cache/lookup", question(n), tenant).json()["result"] for n in range(5)}
    return {n for n, result in results.items() if result == "hit"}


def test_stats_are_shown_and_printed_as_json(beast, served):
    url, call = served
    for tenant in ("acme", "rival"):
        keep(call, 0, tenant)
    assert found(call) == {0}
    code, out, _ = beast("cache", "stats", "--url", url, "--key", "admin")
    assert code == 0
    for said in ("5, 20.0% hits", "exact 1", "answer 2", "0.5 USD", "memory", "sql", "acme", "rival"):
        assert said in out
    code, out, _ = beast("cache", "stats", "--url", url, "--key", "admin", "--json")
    told = json.loads(out)
    assert (code, told["lookups"], told["hits"], told["saved_usd"]) == (0, 5, {"exact": 1}, 0.5)


def test_the_settings_say_where_the_server_is_and_what_its_admin_key_is(beast, served, tmp_path):
    url, _ = served
    port = url.rpartition(":")[2]
    settings = f"serving: {{host: 0.0.0.0, port: {port}, state: there}}\n"
    (tmp_path / "mlflow.yaml").write_text(settings)
    code, _, err = beast("cache", "stats")
    assert (code, "admin.key" in err) == (2, True)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "admin.key").write_text("admin\n")
    assert beast("cache", "stats")[0] == 0
    (tmp_path / "mlflow.yaml").write_text(f"{settings}admin_key: another\n")
    code, _, err = beast("cache", "stats")
    assert (code, "not the admin key" in err) == (2, True)


@pytest.mark.parametrize(
    ("option", "value", "left"),
    [
        ("--tag", "prices", {1, 2, 3}),
        ("--document", "d1", {0, 2, 3}),
        ("--model", "other", {0, 1, 3}),
        ("--policy-version", "v1", {0, 1, 2}),
        ("--everything", "--yes", set()),
    ],
)
def test_what_is_named_is_not_served_any_more(beast, served, keys, option, value, left):
    url, call = served
    keep(call, 0, tags=["prices"])
    keep(call, 1, request=question(1) | {"documents": ["d1"]})
    keep(call, 2, model="other")
    keep(call, 3, policy_version="v1")
    keep(call, 4, "rival", tags=["prices"], model="other", policy_version="v1")
    code, out, _ = beast("cache", "invalidate", option, value, "--url", url, "--key", keys["acme"])
    assert code == 0
    assert "not served any more" in out
    assert value.startswith("--") or value in out
    with_document = call("/v1/cache/lookup", question(1) | {"documents": ["d1"]}).json()["result"] == "hit"
    assert found(call) | ({1} if with_document else set()) == left
    assert found(call, "rival") == {4}


def test_entries_and_false_hits(beast, served, keys, monkeypatch):
    url, call = served
    monkeypatch.setenv("BEAST_API_KEY", keys["acme"])
    first, second = keep(call, 0), keep(call, 1)
    loose = question(2)["prompt"].replace(" ", "  ")
    third = keep(call, 2)
    assert call("/v1/cache/lookup", {"prompt": loose}).json()["kind"] == "normalised"
    code, out, _ = beast("cache", "invalidate", "--entry", first, "--entry", second, "--url", url)
    assert (code, out.count("not served any more")) == (0, 2)
    assert found(call) == {2}
    code, out, _ = beast("cache", "invalidate", "--false-hit", third, "--prompt", loose, "--url", url, "--json")
    assert code == 0
    assert json.loads(out)["invalidated"]["false_hit"]["entry_id"] == third
    assert call("/v1/cache/lookup", {"prompt": loose}).json()["result"] == "miss"
    assert found(call) == {2}  # it is right for its own request


def test_a_false_hit_of_the_very_request_is_a_wrong_answer(beast, served, keys):
    """Whatever policy, or variant of an experiment, is in the request's key."""
    url, call = served
    ask = {"model": "small", "messages": [{"role": "user", "content": question(0)["prompt"]}]}
    call("/v1/chat/completions", ask)
    hit = call("/v1/chat/completions", ask).headers
    assert hit["x-beast-cache"] == "hit"
    entry, prompt = hit["x-beast-cache-entry"], question(0)["prompt"]
    command = ("cache", "invalidate", "--false-hit", entry, "--prompt", prompt, "--url", url, "--key", keys["acme"])
    assert beast(*command)[0] == 0
    assert call("/v1/chat/completions", ask).headers["x-beast-cache"] == "miss"


def test_everything_asks_first(beast, served, keys, monkeypatch):
    url, call = served
    keep(call, 0)
    for typed, left in (("n\n", {0}), ("y\n", set())):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code, _, err = beast("cache", "invalidate", "--everything", "--url", url, "--key", keys["acme"])
        assert "made anew" in err
        assert (code == 0) is (typed == "y\n")
        assert found(call) == left


def test_what_is_wrong_is_said(beast, served, keys):
    url, _ = served
    nobody = f"http://127.0.0.1:{free_port()}"
    ours = ("--url", url, "--key", keys["acme"])
    for command, exit_code, said in (
        (("stats", "--url", nobody), 1, "does not answer"),
        (("stats", "--url", "127.0.0.1:80"), 2, "must be like http://"),
        (("stats", "--url", url), 2, "must be the admin key"),
        (("stats", *ours), 2, "must be the admin key"),
        (("invalidate", "--url", url, "--tag", "t"), 2, "BEAST_API_KEY"),
        (("invalidate", *ours), 2, "nothing to invalidate"),
        (("invalidate", *ours, "--entry", "unknown"), 2, "no entry 'unknown' of yours"),
        (("invalidate", *ours, "--false-hit", "x"), 2, "belong together"),
        (("invalidate", "--url", nobody, "--tag", "t"), 1, "does not answer"),
    ):
        code, _, err = beast("cache", *command)
        assert (code, said in err) == (exit_code, True), err


def test_a_server_without_a_cache_is_told(beast, serve):
    url = serve().url.removesuffix("/v1")
    code, _, err = beast("cache", "stats", "--url", url, "--key", "admin")
    assert (code, "cache.enabled" in err) == (2, True)
