import json

import msgspec
import pytest

from beast_ml import errors
from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.problems import problem_of


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.AuthenticationError("no key"), 401, "auth"),
        (errors.ForbiddenError("not yours"), 403, "auth"),
        (errors.RateLimitedError("slow down", 2.2), 429, "rate_limit"),
        (errors.BudgetExceededError("spent", "tenant:a:day"), 402, "budget"),
        (errors.UnavailableError("draining"), 503, "unavailable"),
        (errors.ProviderError("slow", "timeout", "m", "e"), 504, "timeout"),
        (errors.ProviderError("broken", "provider", "m", "e"), 502, "provider"),
        (errors.NoCandidateError("nobody"), 422, "no_candidate"),
        (errors.UnknownModelError("no such"), 404, "invalid_request"),
        (errors.InputError("wrong"), 422, "invalid_request"),
        (errors.BundleError("odd"), 500, "internal"),
    ],
)
def test_errors_say_what_they_are(error, status, kind):
    problem, _ = problem_of(error)
    body = json.loads(problem.body())
    assert (body["status"], body["kind"], body["detail"]) == (status, kind, str(error))


def test_waiting_times_are_whole_seconds_rounded_up():
    assert problem_of(errors.RateLimitedError("slow down", 2.2))[1] == {"retry-after": "3"}
    assert problem_of(errors.UnavailableError("out", 3.2))[1] == {"retry-after": "4"}
    assert problem_of(errors.UnavailableError("starting"))[1] == {"retry-after": "1"}
    assert problem_of(errors.ProviderError("busy", "rate_limit", "m", "e", 0.2))[1] == {"retry-after": "1"}


def test_what_is_not_ours_to_explain_is_not_told():
    problem, _ = problem_of(RuntimeError("secret path /root"))
    assert problem.status == 500
    assert "secret" not in problem.detail


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b'{"prompt": 1}', 422), (b'{"prompt": "\xff"}', 400)])
def test_bad_bodies_are_the_clients_fault(body, status):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)) as caught:
        msgspec.json.decode(body, type=RouteRequest)
    assert problem_of(caught.value)[0].status == status
