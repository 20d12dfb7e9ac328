"""Who may ask what: every endpoint that is served, against every kind of key."""

import json

import pytest

from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.api import OPERATIONS, ROUTE
from beast_ml.testing.serving_fixtures import ADMIN_KEY

OPEN = {"/healthz", "/readyz", "/openapi.json"}
OF_OPERATORS = {
    "/metrics",
    "/v1/admin/budgets",
    "/v1/admin/experiments",
    "/v1/admin/experiments/analyses",
    "/v1/admin/reload",
    "/v1/cache/stats",
}
OF_TENANTS = {
    "/v1/budgets",
    "/v1/cache/invalidate",
    "/v1/cache/lookup",
    "/v1/cache/store",
    "/v1/chat/completions",
    "/v1/estimate",
    "/v1/feedback",
    "/v1/models",
    "/v1/outcomes",
    "/v1/route",
    "/v1/route/batch",
}


@pytest.fixture
def asked(serving, tmp_path):
    """Return a function that returns the status and body of an endpoint asked with a kind of key."""
    store = KeyStore.open(tmp_path / "state", None)
    revoked = store.create("acme")
    store.revoke(store.list()[0].id)
    keys = {
        "none": None,
        "unknown": "bst_00_wrong",
        "revoked": revoked,
        "tenant": store.create("acme"),
        "admin": ADMIN_KEY,
    }
    api = serving()

    def ask(method, path, kind):
        answer = api.get(path, keys[kind]) if method == "GET" else api.post(path, {}, keys[kind])
        return answer.status_code, answer.text

    ask.served = json.loads(api.get("/openapi.json").text)["paths"]
    return ask


def served(paths):
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_every_endpoint_that_is_served_has_somebody_it_is_for(asked):
    assert set(asked.served) == OPEN | OF_OPERATORS | OF_TENANTS
    assert {each.path for each in (ROUTE, *OPERATIONS)} <= set(asked.served)


def test_nobody_gets_in_without_a_key_that_is_valid_now(asked):
    for method, path in served(asked.served):
        for kind in ("none", "unknown", "revoked"):
            status, text = asked(method, path, kind)
            if path in OPEN:
                assert status == 200, (path, kind)
            elif path in OF_OPERATORS and kind != "none":
                assert status == 403, (path, kind, text)
            else:
                assert status == 401, (path, kind, text)
            if kind != "revoked" and path not in OPEN:  # whoever has held the key may be told whose it was
                assert "acme" not in text


def test_tenants_are_no_operators_and_operators_no_tenants(asked):
    for method, path in served(asked.served):
        as_tenant, as_admin = asked(method, path, "tenant")[0], asked(method, path, "admin")[0]
        if path in OF_OPERATORS:
            assert as_tenant == 403, path
            assert as_admin not in (401, 403), path
        elif path in OF_TENANTS:
            assert as_tenant not in (401, 403), path
            assert as_admin == 401, path


def test_a_path_written_otherwise_is_no_way_round_the_key(asked):
    for path in (
        "/v1/admin/reload/",
        "//v1/admin/reload",
        "/v1/route/../admin/reload",
        "/v1/admin/%72eload",
        "/METRICS",
    ):
        for method in ("GET", "POST"):
            assert asked(method, path, "tenant")[0] in (403, 404, 405), path
