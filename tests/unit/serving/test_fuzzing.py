"""Whatever clients send, they get an answer that the OpenAPI document describes, and never a 5xx of ours."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from beast_ml.domain.endpoint import Endpoint
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig
from beast_ml.serving.api import OPERATIONS
from beast_ml.serving.openapi import openapi_document
from beast_ml.testing.fake_provider import FakeProvider, ProviderScript
from beast_ml.testing.serving_fixtures import ADMIN_KEY
from beast_ml.testing.worlds import WORLD_MODELS

PATHS = sorted((operation.path, operation.method) for operation in OPERATIONS)
OF_ADMIN = {operation.path for operation in OPERATIONS if operation.auth == "admin"}
CHAT = ("/v1/chat/completions", "POST")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
MOST_BYTES = 100_000
FUZZ = settings(max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])


def cache_of(path, folder):
    """Return the configuration of a cache for operations that need one, and for chats."""
    needed = "/cache/" in path or path == CHAT[0]
    return AnswerCacheConfig(b"sixteen bytes of it", folder / "state") if needed else None


@pytest.fixture(scope="module")
def provided():
    """Return endpoints that serve the pool."""
    with FakeProvider(ProviderScript()) as provider:
        yield tuple(Endpoint(f"{model}@fake", model, provider.base_url()) for model in WORLD_MODELS)


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), [*PATHS, CHAT])
def test_every_answer_is_as_described(serving, provided, tmp_path, path, method, mode):
    tenant_key = KeyStore.open(tmp_path / "state", None).create("acme")
    api = serving(endpoints=provided if path == CHAT[0] else (), cache=cache_of(path, tmp_path))
    schema = schemathesis.openapi.from_dict(openapi_document(OPERATIONS)).include(path=path)
    schema.app = api.client.app

    @FUZZ
    @given(schema[path][method].as_strategy(generation_mode=mode))
    def fuzz(case):
        key = ADMIN_KEY if path in OF_ADMIN else tenant_key
        # JSON Schema takes 1.0 for an integer, and cannot say that a request has a prompt or messages. That a wrong
        # body may be refused for its size (413) is not known to the check of wrong data.
        headers = {"Authorization": f"Bearer {key}"}
        answer = case.call(headers=headers)
        refused_for_size = answer.status_code == 413 and len(answer.request.body or b"") > MOST_BYTES
        unknown = [negative_data_rejection] if "budgets" in path or refused_for_size else []
        case.validate_response(
            answer,
            headers=headers,
            excluded_checks=[positive_data_acceptance, *unknown],
            transport_kwargs={"headers": dict(headers)},
        )
        assert answer.status_code < 500

    fuzz()
    assert api.post("/v1/route", {"prompt": "still there"}, tenant_key).status_code in (
        200,
        402,
    )  # fuzzing may set budgets


@pytest.mark.parametrize("path", [path for path, method in PATHS if method == "POST" and path not in OF_ADMIN])
def test_any_bytes_and_any_json_are_answered(serving, path, tmp_path):
    api = serving(cache=cache_of(path, tmp_path))

    @FUZZ
    @given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
    def fuzz(body):
        assert api.post(path, body).status_code in (200, 400, 404, 422)

    fuzz()


def test_no_tenant_learns_of_another(serving, tmp_path):
    """Whatever one tenant sends, the other's rows, budgets and ids stay its own."""
    keys = KeyStore.open(tmp_path / "state", None)
    ours, theirs = keys.create("acme"), keys.create("rival")
    api = serving()
    issued = {"acme": [], "rival": []}

    @FUZZ
    @given(
        st.sampled_from(["acme", "rival"]),
        st.sampled_from(["/v1/route", "/v1/outcomes", "/v1/feedback"]),
        st.integers(0, 10),
        st.text(min_size=1, max_size=20),
    )
    def exchange(tenant, path, which, text):
        other = "rival" if tenant == "acme" else "acme"
        key = ours if tenant == "acme" else theirs
        if path == "/v1/route":
            answer = api.post(path, {"prompt": text, "user_id": "ann"}, key)
            issued[tenant].append(answer.json()["request_id"])
            return
        for owner in (tenant, other):
            if issued[owner]:
                body = {"request_id": issued[owner][which % len(issued[owner])]}
                answer = api.post(path, body | ({"thumbs": "up"} if "feedback" in path else {}), key)
                assert answer.status_code == (200 if owner == tenant else 422)
                assert other not in answer.text

    exchange()
    owners = {row["request_id"]: row["tenant_id"] for row in api.rows()}
    assert {tenant: set(ids) for tenant, ids in issued.items()} == {
        tenant: {each for each, owner in owners.items() if owner == tenant} for tenant in issued
    }
    for signal in api.rows("signals"):
        assert signal["request_id"] in owners
