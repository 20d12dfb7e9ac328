import json
from types import SimpleNamespace
from typing import Annotated

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from msgspec import Meta
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from beast_ml.domain.failure import ERROR_KINDS
from beast_ml.serving.openapi import openapi_document


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something to be counted; see below.

    Parameters
    ----------
    name
        What it is called, and
        where it stands.
    n, weight
        How many, and how heavy.
    """

    name: Annotated[str, Meta(min_length=1, max_length=20)]
    n: Annotated[int, Meta(ge=0, le=1000)] = 1
    weight: float | None = None


class Counted(msgspec.Struct, frozen=True):
    """How many there are."""

    n: int


def operation(path, takes, gives, **more):
    known = {"method": "POST", "summary": f"Do {path}.", "auth": "tenant", "tag": "counting", "statuses": ()}
    return SimpleNamespace(path=path, takes=takes, gives=gives, **(known | more))


COUNT = operation("/v1/count", Item | list[Item], Counted, statuses=(404,))
TOTAL = operation("/v1/admin/total", None, Counted, method="GET", auth="admin")


@pytest.fixture
def document():
    return openapi_document([COUNT, TOTAL])


def test_bodies_are_those_of_the_types(document):
    post = document["paths"]["/v1/count"]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]
    item = {"$ref": "#/components/schemas/Item"}
    assert sorted(body["anyOf"], key=len) == [item, {"type": "array", "items": item}]
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/Counted"}
    schema = document["components"]["schemas"]["Item"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name"]
    assert schema["properties"]["n"]["maximum"] == 1000
    assert "requestBody" not in document["paths"]["/v1/admin/total"]["get"]


def test_docstrings_tell_what_fields_are(document):
    schema = document["components"]["schemas"]["Item"]
    assert schema["description"] == "Something to be counted; see below."
    fields = schema["properties"]
    assert fields["name"]["description"] == "What it is called, and where it stands."
    assert fields["n"]["description"] == fields["weight"]["description"] == "How many, and how heavy."
    assert document["components"]["schemas"]["Counted"]["description"] == "How many there are."


def test_every_answer_beside_200_is_a_problem(document):
    answers = document["paths"]["/v1/count"]["post"]["responses"]
    assert set(answers) == {"200", "400", "401", "403", "404", "413", "422", "429", "500", "503"}
    for status, answer in answers.items():
        if status != "200":
            problem = answer["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
    assert "Retry-After" in answers["429"]["headers"]
    kinds = document["components"]["schemas"]["Problem"]["properties"]["kind"]["enum"]
    assert set(kinds) > set(ERROR_KINDS)


def test_keys_are_asked_for_as_the_table_says(document):
    assert document["paths"]["/v1/count"]["post"]["security"] == [{"tenant": []}]
    assert document["paths"]["/v1/admin/total"]["get"]["security"] == [{"admin": []}]
    assert document["paths"]["/metrics"]["get"]["security"] == [{"admin": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert set(document["components"]["securitySchemes"]) == {"tenant", "admin"}


def test_operations_have_names_of_their_own(document):
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert "post_v1_count" in names
    assert len(names) == len(set(names)) == 7


def test_chat_takes_what_openai_takes_and_says_what_can_go_wrong(document):
    chat = document["paths"]["/v1/chat/completions"]["post"]
    schema = chat["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["model", "messages"]
    assert "additionalProperties" not in schema  # what is not named is sent on
    assert {"402", "404", "502", "504"} <= set(chat["responses"])
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}


def test_other_paths_can_be_added():
    more = {"post": {"operationId": "more", "responses": {"200": {"description": "More."}}}}
    assert openapi_document([COUNT], {"/v1/more": more})["paths"]["/v1/more"] == more


def test_it_is_json_and_the_same_each_time(document):
    assert json.loads(msgspec.json.encode(document)) == json.loads(json.dumps(openapi_document([COUNT, TOTAL])))


def problem(status, kind="invalid_request"):
    body = {"title": "No", "status": status, "detail": "no", "kind": kind}
    headers = {401: {"www-authenticate": "Bearer"}, 405: {"allow": "POST"}}.get(status, {})
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def count(request: Request) -> Response:
    """Do what the document says."""
    if request.headers.get("authorization") != "Bearer good":
        return problem(401, "auth")
    try:
        got = msgspec.json.decode(await request.body(), type=COUNT.takes)
    except msgspec.ValidationError:
        return problem(422)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return problem(400)
    return JSONResponse({"n": len(got) if isinstance(got, list) else 1})


async def not_allowed(request: Request, error: Exception) -> Response:
    return problem(405)


@pytest.mark.parametrize("mode", GenerationMode)
def test_schemathesis_finds_a_server_that_does_what_is_said_in_order(mode):
    """And so what it finds in the real one is the real one's."""
    app = Starlette(routes=[Route("/v1/count", count, methods=["POST"])], exception_handlers={405: not_allowed})
    schema = schemathesis.openapi.from_dict(openapi_document([COUNT])).include(path="/v1/count")
    schema.app = app
    statuses = set()

    @settings(max_examples=50, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
    @given(schema["/v1/count"]["POST"].as_strategy(generation_mode=mode))
    def fuzz(case):
        # JSON Schema takes 1.0 for an integer, and msgspec does not.
        answer = case.call_and_validate(
            headers={"Authorization": "Bearer good"}, excluded_checks=[positive_data_acceptance]
        )
        statuses.add(answer.status_code)

    fuzz()
    assert statuses & ({200} if mode is GenerationMode.POSITIVE else {400, 422})


def test_schemathesis_finds_an_answer_that_is_not_what_is_said():
    async def wrong(request: Request) -> Response:
        return JSONResponse({"m": "many"})

    schema = schemathesis.openapi.from_dict(openapi_document([COUNT])).include(path="/v1/count")
    schema.app = Starlette(routes=[Route("/v1/count", wrong, methods=["POST"])])
    case = schema["/v1/count"]["POST"].Case(body={"name": "a"}, media_type="application/json")
    with pytest.raises(FailureGroup, match='"n" is a required property'):
        case.call_and_validate()
