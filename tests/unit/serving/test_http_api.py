"""The HTTP API from the outside: what is answered, and what is on record afterwards."""

import json
import time
from datetime import UTC, datetime

import pytest

from beast_ml.domain import Price
from beast_ml.experiments.kept_analyses import ANALYSES_FILE, KeptAnalyses, KeptAnalysis, write_analyses
from beast_ml.logs.compaction import compact
from beast_ml.logs.schema import REQUEST_COLUMNS
from beast_ml.logs.segments import SegmentWriter
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.implicit_feedback import ImplicitFeedback
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.request_log import RequestRow
from beast_ml.serving.router import Router
from beast_ml.testing.serving_fixtures import ADMIN_KEY

PROMPT = "python loop compile stack regex thread"


def problem(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return body


def test_a_decision_is_answered_and_on_record(serving):
    api = serving()
    decided = api.post("/v1/route", {"prompt": PROMPT, "user_id": "ann", "context": {"task": "code"}})
    assert decided.status_code == 200
    body, (row,) = decided.json(), api.rows()
    assert row["request_id"] == body["request_id"]
    assert (row["chosen_model"], row["propensity"]) == (body["model"], body["propensity"])
    assert row["predicted_cost_usd"] == body["predicted"]["cost_usd"]
    assert (row["tenant_id"], row["user_id"], row["prompt"]) == ("default", "ann", PROMPT)
    assert row["context"] == {"task": "code"}
    assert (row["status"], row["error_kind"]) == ("cancelled", "unreported")  # until its outcome is told
    assert row["policy_version"] == body["policy_version"]
    assert set(row) - {"table"} <= set(REQUEST_COLUMNS)


def test_rows_are_in_the_columns_of_the_log():
    assert set(RequestRow.__struct_fields__) == set(REQUEST_COLUMNS) - {"quality", "quality_source", "feedback_at"}


def test_explanations_come_on_demand(serving):
    api = serving()
    assert "forecasts" not in api.post("/v1/route", {"prompt": PROMPT}).json()
    explained = api.post("/v1/route", {"prompt": PROMPT, "explain": True}).json()
    assert {forecast["model"] for forecast in explained["forecasts"]} == {"large", "medium", "small"}
    assert explained["explanation"]["reason"]


def test_constraints_and_candidates_are_kept(serving):
    api = serving()
    assert api.post("/v1/route", {"prompt": PROMPT, "candidates": ["small"]}).json()["model"] == "small"
    body = problem(api.post("/v1/route", {"prompt": PROMPT, "max_cost_usd": 0}))
    assert (body["status"], body["kind"]) == (422, "no_candidate")
    assert [row["status"] for row in api.rows()] == ["cancelled", "rejected"]
    assert "propensity" not in api.rows()[1]


def test_only_a_model_that_the_client_left_alone_is_noted_as_asked_for(serving):
    api = serving()
    one, two = {"prompt": PROMPT, "candidates": ["small"]}, {"prompt": PROMPT, "candidates": ["small", "large"]}
    for each in (one, two, {"prompt": PROMPT}):
        assert api.post("/v1/route", each).status_code == 200
    assert api.post("/v1/route/batch", {"requests": [two, one]}).status_code == 200
    asked = [row.get("context", {}).get("asked_for") for row in api.rows()]
    assert asked == ["small", None, None, None, "small"]


def test_a_batch_decides_what_it_can(serving):
    api = serving()
    requests = [{"prompt": PROMPT}, {"prompt": PROMPT, "candidates": ["huge"]}, {"prompt": "prime matrix angle"}]
    answer = api.post("/v1/route/batch", {"requests": requests}).json()
    assert [decision is None for decision in answer["decisions"]] == [False, True, False]
    assert [(each["position"], each["status"]) for each in answer["problems"]] == [(1, 404)]
    assert sorted(row["status"] for row in api.rows()) == ["cancelled", "cancelled", "rejected"]


def test_an_estimate_is_of_every_candidate_and_not_on_record(serving):
    api = serving()
    estimate = api.post("/v1/estimate", {"prompt": PROMPT}).json()
    assert {each["model"] for each in estimate["candidates"]} == {"large", "medium", "small"}
    assert all(each["cost_usd"]["low"] <= each["cost_usd"]["high"] for each in estimate["candidates"])
    assert api.rows() == []


def test_outcomes_and_feedback_are_recorded(serving):
    api = serving()
    request_id = api.post("/v1/route", {"prompt": PROMPT}).json()["request_id"]
    outcome = {"request_id": request_id, "served_model": "small", "latency_s": 0.5, "cost_usd": 0.001}
    assert api.post("/v1/outcomes", outcome).json() == {"recorded": 1}
    assert api.post("/v1/outcomes", [outcome, outcome]).json() == {"recorded": 2}
    assert api.post("/v1/feedback", {"request_id": request_id, "thumbs": "up"}).json() == {"recorded": 1}
    told = api.rows("outcomes")
    assert [(row["served_model"], row["status"]) for row in told] == [("small", "ok")] * 3
    assert datetime.fromisoformat(told[0]["observed_at"]).tzinfo == UTC
    assert [(row["quality"], row["quality_source"]) for row in api.rows("feedback")] == [(1.0, "user")]


def test_what_is_told_of_others_requests_is_refused(serving, tmp_path):
    keys = KeyStore.open(tmp_path / "state", None)
    ours, theirs = keys.create("acme"), keys.create("rival")
    api = serving()
    request_id = api.post("/v1/route", {"prompt": PROMPT}, ours).json()["request_id"]
    for path, more in (("/v1/outcomes", {}), ("/v1/feedback", {"thumbs": "down"})):
        refused = problem(api.post(path, {"request_id": request_id, **more}, theirs))
        assert (refused["status"], "of yours" in refused["detail"]) == (422, True)
        assert api.post(path, {"request_id": request_id, **more}, ours).status_code == 200
    assert len(api.rows("outcomes")) == len(api.rows("feedback")) == 1


def test_one_wrong_outcome_of_a_list_leaves_none_recorded(serving):
    api = serving()
    request_id = api.post("/v1/route", {"prompt": PROMPT}).json()["request_id"]
    assert api.post("/v1/outcomes", [{"request_id": request_id}, {"request_id": "req_x"}]).status_code == 422
    assert api.rows("outcomes") == []


def test_once_a_key_was_made_keys_are_needed(serving, tmp_path):
    keys = KeyStore.open(tmp_path / "state", None)
    key = keys.create("acme")
    api = serving()
    assert problem(api.post("/v1/route", {"prompt": PROMPT}))["status"] == 401
    assert problem(api.post("/v1/route", {"prompt": PROMPT}, "bst_00_wrong"))["status"] == 401
    assert api.post("/v1/route", {"prompt": PROMPT}, key).status_code == 200
    assert api.rows()[0]["tenant_id"] == "acme"
    assert problem(api.get("/metrics"))["status"] == 401
    assert api.get("/metrics", ADMIN_KEY).status_code == 200


def test_admin_calls_need_the_admin_key(serving):
    api = serving()
    assert problem(api.post("/v1/admin/reload"))["status"] == 401
    assert problem(api.post("/v1/admin/reload", key="another"))["status"] == 403
    assert api.post("/v1/admin/reload", key=ADMIN_KEY).json()["router"]["digest"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b'{"prompt": 7}', 422),
        (b'{"prompt": ""}', 422),
        (b'{"prompt": "a", "colour": "red"}', 422),
        (b'{"prompt": "a", "min_quality": 7}', 422),
        (b'{"prompt": "a", "max_cost_usd": -1}', 422),
        (b'{"prompt": "a", "max_cost_usd": 1e999}', 422),
        (b'{"prompt": "\xff"}', 400),
        (b"{}", 422),
        (b'{"messages": []}', 422),
        (b'{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', 422),
        (b'{"features": [1, 2]}', 422),
        (b"[" * 40 + b"]" * 40, 422),
        (b'{"prompt": "' + b"a" * 200_000 + b'"}', 413),
    ],
)
def test_bad_bodies_are_the_clients_fault_and_none_of_our_errors(serving, body, status, caplog):
    answer = problem(serving().post("/v1/route", body))
    assert answer["status"] == status, answer
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("path", ["/v1/route", "/v1/chat/completions"])
def test_a_body_that_is_empty_is_said_to_be(serving, path):
    answer = serving().post(path, b"")
    assert (answer.status_code, answer.json()["detail"]) == (400, "the body is no JSON: it is empty")


def test_unknown_paths_and_methods_are_problems_too(serving):
    api = serving()
    assert problem(api.get("/v1/nothing"))["kind"] == "not_found"
    assert problem(api.get("/v1/route"))["status"] == 405


def test_a_tenant_that_sends_too_much_waits_and_its_refusals_are_on_record(serving):
    api = serving(requests_per_s=2.0)
    answers = [api.post("/v1/route", {"prompt": PROMPT}) for _ in range(5)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2
    assert int(refused[0].headers["retry-after"]) >= 1
    assert [row["error_kind"] for row in api.rows() if row["status"] == "rejected"] == ["rate_limit"] * len(refused)


def test_a_spent_budget_refuses_and_outcomes_give_back_what_was_not_spent(serving):
    api = serving(budgets=(BudgetRule(scope="tenant", limit_nano=100_000_000),))
    decided = []
    while (answer := api.post("/v1/route", {"prompt": PROMPT, "candidates": ["large"]})).status_code == 200:
        decided.append(answer.json()["request_id"])
        assert len(decided) < 1000
    assert len(decided) > 2
    refused = problem(answer)
    assert (refused["status"], refused["kind"]) == (402, "budget")
    assert api.rows()[-1]["error_kind"] == "budget"
    for request_id in decided:
        assert api.post("/v1/outcomes", {"request_id": request_id, "cost_usd": 0}).status_code == 200
    assert api.post("/v1/route", {"prompt": PROMPT, "candidates": ["large"]}).status_code == 200
    (status,) = api.get("/v1/budgets").json()["budgets"]
    assert status["limit_usd"] == 0.1


def test_a_ledger_that_is_away_is_no_lack_of_candidates(serving):
    api = serving(budgets=(BudgetRule(scope="tenant", limit_nano=10**12),))
    lock = api.state / "state.db.budgets-lock"
    lock.unlink()
    lock.mkdir()  # every step on the ledger fails now
    refused = problem(api.post("/v1/route", {"prompt": PROMPT}))
    many = api.post("/v1/route/batch", {"requests": [{"prompt": PROMPT}]}).json()
    lock.rmdir()
    assert (refused["status"], refused["kind"]) == (503, "unavailable")
    assert many["problems"][0]["status"] == 503
    assert [(row["status"], row["error_kind"]) for row in api.rows()] == [("rejected", "ledger")] * 2


def test_rules_of_budgets_are_set_by_the_operator(serving):
    api = serving()
    rules = {"rules": [{"scope": "global", "limit_usd": 0.0}]}
    assert api.post("/v1/admin/budgets", rules, ADMIN_KEY).status_code == 200
    assert api.post("/v1/route", {"prompt": PROMPT}).status_code == 402
    assert api.post("/v1/admin/budgets", {"rules": []}, ADMIN_KEY).status_code == 200
    assert api.post("/v1/route", {"prompt": PROMPT}).status_code == 200
    assert problem(api.post("/v1/admin/budgets", {"rules": [{"scope": "global", "limit_usd": -1}]}, ADMIN_KEY))


@pytest.mark.parametrize(("how", "kept"), [("keep", True), ("hash", False), ("withhold", False)])
def test_prompts_are_kept_as_their_tenant_wants(serving, how, kept):
    api = serving(prompts=how)
    api.post("/v1/route", {"prompt": PROMPT})
    (row,) = api.rows()
    assert ("prompt" in row) == kept
    assert ("prompt_hash" in row.get("context", {})) == (how == "hash")
    assert kept or PROMPT not in json.dumps(row)


def test_a_repeated_prompt_is_a_weak_signal(serving):
    api = serving()
    now = 0.0
    api.worker.services.implicit = ImplicitFeedback(monotonic=lambda: now)
    first = api.post("/v1/route", {"prompt": PROMPT, "user_id": "ann"}).json()["request_id"]
    now = 30.0
    api.post("/v1/route", {"prompt": PROMPT, "user_id": "ann"})
    (signal,) = api.rows("signals")
    assert (signal["request_id"], signal["kind"]) == (first, "retry")


def test_health_readiness_and_documents(serving):
    api = serving()
    assert api.get("/healthz").json() == {"status": "ok"}
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    models = api.get("/v1/models").json()["data"]
    assert [(model["id"], model["available"]) for model in models] == [(m, True) for m in ("large", "medium", "small")]
    document = api.get("/openapi.json").json()
    assert {"/v1/route", "/v1/outcomes", "/v1/feedback", "/v1/admin/reload"} <= set(document["paths"])
    api.post("/v1/route", {"prompt": PROMPT})
    assert b'beast_requests_total{route="/v1/route",status="200"} 1.0' in api.get("/metrics").content


def test_a_draining_server_sends_its_clients_away(serving):
    api = serving()
    api.worker.drain()
    assert api.get("/readyz").status_code == 503
    decided = api.post("/v1/route", {"prompt": PROMPT})
    assert (decided.status_code, decided.headers["connection"]) == (200, "close")


def experiment(shadow=None, **shares):
    variants = [{"name": name, "policy": policy, "share": share} for name, (policy, share) in shares.items()]
    return {
        "id": "test",
        "unit": "user",
        "variants": variants,
        "shadow": shadow,
        "shadow_share": 1.0 if shadow else 0.0,
    }


def test_analyses_that_were_made_beside_the_server_are_given_to_operators(serving):
    api = serving()
    assert api.get("/v1/admin/experiments/analyses", ADMIN_KEY).json() == {"analyses": []}
    kept = KeptAnalysis("test", "quality", datetime(2026, 3, 1, tzinfo=UTC), report={"stopped_at": None})
    write_analyses(api.state / ANALYSES_FILE, KeptAnalyses((kept,)))
    (told,) = api.get("/v1/admin/experiments/analyses", ADMIN_KEY).json()["analyses"]
    assert (told["experiment"], told["report"]) == ("test", {"stopped_at": None})
    assert problem(api.get("/v1/admin/experiments/analyses", "guessed"))["status"] in (401, 403)
    (api.state / ANALYSES_FILE).write_text("no")
    assert problem(api.get("/v1/admin/experiments/analyses", ADMIN_KEY))["status"] == 503


def test_an_experiment_marks_its_requests_and_sticks_to_its_units(serving):
    api = serving()
    body = experiment(control=("champion", 0.5), other=("champion", 0.25))
    assert api.post("/v1/admin/experiments", body, ADMIN_KEY).status_code == 200
    assert api.get("/v1/admin/experiments", ADMIN_KEY).json()["experiments"][0]["id"] == "test"
    for _ in range(2):
        for user in range(60):
            api.post("/v1/route", {"prompt": PROMPT, "user_id": f"u{user}"})
    rows = api.rows()
    variant_of = {}
    for row in rows:
        assert variant_of.setdefault(row["user_id"], row.get("variant")) == row.get("variant")
        assert (row.get("experiment_id") == "test") == (row.get("variant") is not None)
    assert set(variant_of.values()) == {"control", "other", None}
    batch = api.post("/v1/route/batch", {"requests": [{"prompt": PROMPT, "user_id": f"u{i}"} for i in range(60)]})
    assert [each.get("variant") for each in batch.json()["decisions"]] == [variant_of[f"u{i}"] for i in range(60)]


def test_what_a_change_of_an_experiment_leaves_out_stays_as_it_is(serving):
    api = serving()
    guardrails = [{"metric": "errors", "most_harm": 0.02}]
    body = experiment(control=("champion", 0.9), other=("champion", 0.1))
    first = api.post("/v1/admin/experiments", body | {"tenants": ["acme"], "guardrails": guardrails}, ADMIN_KEY).json()[
        "experiments"
    ][0]
    more = {"id": "test", "variants": experiment(control=("champion", 0.5), other=("champion", 0.5))["variants"]}
    ramped = api.post("/v1/admin/experiments", more, ADMIN_KEY).json()["experiments"][0]
    assert [each["share"] for each in ramped["variants"]] == [0.5, 0.5]
    assert (ramped["tenants"], ramped["guardrails"]) == (["acme"], first["guardrails"])
    sent_back = api.post("/v1/admin/experiments", ramped | {"status": "stopped"}, ADMIN_KEY).json()["experiments"][0]
    assert (sent_back["status"], sent_back["guardrails"]) == ("stopped", first["guardrails"])
    bare = {"id": "test", "status": "running", "tenants": None, "guardrails": []}
    dropped = api.post("/v1/admin/experiments", bare, ADMIN_KEY).json()["experiments"][0]
    assert (dropped["tenants"], dropped["guardrails"]) == (None, [])
    assert [each["share"] for each in dropped["variants"]] == [0.5, 0.5]


def test_a_challenger_and_a_shadow_decide_where_they_are_loaded(serving, router_folder):
    api = serving()
    runtime = api.worker.services.runtime
    other = Router.load(router_folder, prices={"medium": Price(999.0, 999.0)})
    runtime.router_for = {"challenger": other, "shadow": other}.get
    runtime.check_can_follow = runtime.follow_aliases = lambda _: None  # a folder has no aliases
    body = experiment("shadow", control=("champion", 0.5), new=("challenger", 0.5))
    assert api.post("/v1/admin/experiments", body, ADMIN_KEY).status_code == 200
    for user in range(40):
        api.post("/v1/route", {"prompt": "hello weather story joke", "user_id": f"u{user}"})
    by_variant = {name: [row for row in api.rows() if row["variant"] == name] for name in ("control", "new")}
    assert len(by_variant["control"]) > 8
    assert len(by_variant["new"]) > 8
    assert {row["chosen_model"] for row in by_variant["control"]} == {"medium"}
    assert "medium" not in {row["chosen_model"] for row in by_variant["new"]}
    assert {row["context"]["shadow_model"] for row in api.rows()} == {row["chosen_model"] for row in by_variant["new"]}


def test_a_challenger_that_breaks_costs_no_request(serving):
    class Broken:
        history = None

        def expect(self, *_, **__):
            raise ZeroDivisionError

    api = serving()
    runtime = api.worker.services.runtime
    runtime.router_for = {"challenger": Broken()}.get
    runtime.check_can_follow = runtime.follow_aliases = lambda _: None
    api.post("/v1/admin/experiments", experiment(control=("champion", 0.5), new=("challenger", 0.5)), ADMIN_KEY)
    for user in range(20):
        assert api.post("/v1/route", {"prompt": PROMPT, "user_id": f"u{user}"}).status_code == 200
    assert {row.get("variant") for row in api.rows()} == {"control", None}


def test_an_experiment_on_routers_that_cannot_be_loaded_is_refused(serving):
    api = serving()
    body = experiment(control=("champion", 0.5), new=("challenger", 0.5))
    assert "is a folder and has no aliases" in problem(api.post("/v1/admin/experiments", body, ADMIN_KEY))["detail"]
    assert api.get("/v1/admin/experiments", ADMIN_KEY).json() == {"experiments": []}


def test_while_the_challenger_is_not_loaded_nobody_takes_part(serving):
    api = serving()
    runtime = api.worker.services.runtime
    runtime.check_can_follow = runtime.follow_aliases = lambda _: None
    api.post("/v1/admin/experiments", experiment(control=("champion", 0.5), new=("challenger", 0.5)), ADMIN_KEY)
    for user in range(20):
        api.post("/v1/route", {"prompt": PROMPT, "user_id": f"u{user}"})
    assert {row.get("variant") for row in api.rows()} == {None}


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}])
def test_pages_of_other_sites_cannot_use_a_server_without_keys(serving, tmp_path, headers):
    api = serving()
    asked = {"content": b'{"prompt": "a"}', "headers": headers}
    for path in ("/v1/route", "/v1/chat/completions"):
        assert problem(api.client.post(path, **asked))["status"] == 403
    assert api.rows() == []
    assert api.client.post(
        "/v1/route", content=b'{"prompt": "a"}', headers={"origin": "http://localhost:3000"}
    ).is_success
    key = KeyStore.open(tmp_path / "state", None).create("acme")
    api.worker.services.access._keys.refresh()
    asked["headers"] = headers | {"authorization": f"Bearer {key}"}
    assert api.client.post("/v1/route", **asked).is_success


def test_with_keys_only_the_operator_is_told_the_details_of_readiness(serving, tmp_path):
    KeyStore.open(tmp_path / "state", None).create("acme")
    api = serving()
    assert api.get("/readyz").json() == {"ready": True, "reason": None, "router": None, "models_out": []}
    assert api.get("/readyz", ADMIN_KEY).json()["router"]["digest"]


def test_a_refusal_says_under_which_id_it_is_on_record(serving):
    api = serving()
    refused = problem(api.post("/v1/route", {"prompt": PROMPT, "max_cost_usd": 0}))
    assert refused["request_id"] == api.rows()[0]["request_id"]


def test_who_floods_the_server_does_not_fill_its_disk(serving):
    api = serving(requests_per_s=1.0)
    for _ in range(3):
        api.post("/v1/route", {"prompt": PROMPT, "context": {"task": "code"}})
    assert api.post("/v1/route/batch", {"requests": [{"prompt": PROMPT}] * 4}).status_code == 429
    limited = [row for row in api.rows() if row.get("error_kind") == "rate_limit"]
    assert len(limited) >= 6
    assert not any("prompt" in row or "context" in row for row in limited)


@pytest.mark.parametrize(("path", "more"), [("/v1/outcomes", {}), ("/v1/feedback", {"thumbs": "up"})])
def test_a_clock_that_is_far_off_is_refused(serving, path, more):
    api = serving()
    request_id = api.post("/v1/route", {"prompt": PROMPT}).json()["request_id"]
    for at in ("0001-01-01T00:00:00+23:59", "9999-12-31T00:00:00Z"):
        told = {"request_id": request_id, "observed_at": at, **more}
        assert "must be a time after 2000" in problem(api.post(path, told))["detail"]
    assert "timezone" in problem(api.post(path, told | {"observed_at": "2026-01-01T00:00:00"}))["detail"]
    assert api.rows("outcomes") == api.rows("feedback") == []


def test_feedback_that_is_sent_again_does_not_replace_what_was_said_since(serving, tmp_path):
    api = serving()
    request_id = api.post("/v1/route", {"prompt": PROMPT}).json()["request_id"]
    older, newer = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    for thumbs, at in (("down", older), ("up", newer), ("down", older)):
        told = {"request_id": request_id, "thumbs": thumbs, "observed_at": at.isoformat()}
        assert api.post("/v1/feedback", told).json() == {"recorded": 1}
    with SegmentWriter(tmp_path / "sealed") as sealed:
        sealed.append_many([json.dumps(row).encode() for table in ("requests", "feedback") for row in api.rows(table)])
    store = LogStore(tmp_path / "store")
    compact(tmp_path / "sealed", store, tmp_path / "quarantine")
    assert store.requests(["quality", "feedback_at"]).to_pylist() == [{"quality": 1.0, "feedback_at": newer}]


def test_feedback_that_says_no_time_is_of_now(serving):
    api = serving()
    request_id = api.post("/v1/route", {"prompt": PROMPT}).json()["request_id"]
    api.post("/v1/feedback", {"request_id": request_id, "thumbs": "up"})
    (label,), (asked,) = api.rows("feedback"), api.rows()
    assert datetime.fromisoformat(label["feedback_at"]) >= datetime.fromisoformat(asked["received_at"])


def test_outcomes_of_calls_that_the_gateway_made_are_not_the_clients_to_tell(serving):
    api = serving()
    request_id = api.worker.services.ids.issue("default", "chat")
    told = {"request_id": request_id, "cost_usd": 0}
    assert "which knows its outcome" in problem(api.post("/v1/outcomes", told))["detail"]
    assert api.post("/v1/feedback", {"request_id": request_id, "thumbs": "up"}).status_code == 200


def test_where_all_that_may_be_chosen_are_out_the_answer_names_them_and_when_they_are_tried_again(serving):
    api = serving()
    api.worker.services.health.finished("small", "rate_limit", 0.1, retry_after_s=7.0)
    refused = api.post("/v1/route", {"prompt": "hello", "candidates": ["small"]})
    problem = refused.json()
    assert (refused.status_code, problem["kind"]) == (503, "unavailable")
    assert refused.headers["retry-after"] in ("6", "7")
    assert f"'small' is tried again in {refused.headers['retry-after']} s" in problem["detail"]
    (row,) = api.rows()
    assert (row["status"], row["error_kind"], row["request_id"]) == ("rejected", "no_candidate", problem["request_id"])
    assert api.post("/v1/route", {"prompt": "hello"}).json()["model"] != "small"


def test_health_believes_an_outcome_once_and_of_models_that_could_have_answered(serving):
    api = serving()
    told = []
    api.worker.services.health.told = lambda model, kind, *_, tenant: told.append((model, kind, tenant))
    decision = api.post("/v1/route", {"prompt": PROMPT, "candidates": ["small", "medium"]}).json()
    for model in ("large", "small", "small"):
        report = {"request_id": decision["request_id"], "status": "error", "error_kind": "provider"}
        assert api.post("/v1/outcomes", report | {"served_model": model}).status_code == 200
    other = api.post("/v1/route", {"prompt": PROMPT, "candidates": ["small", "medium"]}).json()
    api.post("/v1/outcomes", {"request_id": other["request_id"], "latency_s": 0.5})
    assert told == [(other["model"], None, "default")]  # the first report named a model that was no candidate
    assert api.post("/v1/outcomes", {"request_id": other["request_id"], "status": "rejected"}).status_code == 422


def test_an_estimate_is_no_trial_of_a_model(serving):
    api = serving()
    api.worker.services.health.taken = lambda model, tenant: pytest.fail(f"{model} was taken for {tenant}")
    assert api.post("/v1/estimate", {"prompt": PROMPT}).status_code == 200


def test_users_of_a_batch_are_thrifty_each_for_themselves(serving):
    api = serving()
    api.worker.services.thrift = lambda tenant, user: 1.0 if user == "poor" else 0.0
    requests = [{"prompt": PROMPT, "user_id": "poor"}, {"prompt": PROMPT, "user_id": "rich"}]
    poor, rich = api.post("/v1/route/batch", {"requests": requests}).json()["decisions"]
    assert poor["model"] == "small"
    assert rich["model"] == api.post("/v1/route", {"prompt": PROMPT}).json()["model"] != "small"


def test_metrics_show_whether_the_ledger_of_budgets_answers(serving):
    api = serving(budgets=(BudgetRule(scope="tenant", limit_nano=10**12),))

    def shows(value):
        deadline = time.monotonic() + 30.0
        line = f'beast_dependency_up{{dependency="budgets"}} {value}'
        while line not in api.get("/metrics").text.splitlines():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    shows("1.0")
    lock = api.state / "state.db.budgets-lock"
    lock.unlink()
    lock.mkdir()  # every step on the ledger fails now
    shows("0.0")
    lock.rmdir()
    shows("1.0")
