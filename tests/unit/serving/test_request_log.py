"""Rows of hits, which are made in two parts, are rows like any other."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.prompts import PromptPrivacy
from beast_ml.serving.request_log import RequestLog, RequestRow

SECRET = b"sixteen bytes of it"


class Lines:
    def __init__(self):
        self.lines = []

    def append(self, line):
        self.lines.append(line)


def logged(how, prompt, latencies, **fields):
    sink = Lines()
    log = RequestLog(sink, PromptPrivacy(how, {}, SECRET))
    request = RouteRequest(prompt="unused", **fields)
    row = log.row_of_hits(
        request,
        prompt,
        "acme",
        ("large", "small"),
        {"cache_kind": "exact", "cache_entry": "e1"},
        cache_result="exact",
        cache_tier="memory",
        cache_similarity=1.0,
        status="ok",
        cost_usd=0.0,
    )
    for i, latency_s in enumerate(latencies):
        log.hit(row, f"chat_{i:024x}", latency_s)
    return sink.lines


@given(
    st.text(), st.lists(st.floats(0, 1e4), min_size=1, max_size=3), st.dictionaries(st.text(), st.text(), max_size=3)
)
def test_a_row_of_a_hit_is_what_a_whole_one_would_be(prompt, latencies, context):
    lines = logged("keep", prompt, latencies, context=context, user_id="ann", session_id=None, app="editor")
    for i, (line, latency_s) in enumerate(zip(lines, latencies, strict=True)):
        assert b"\n" not in line
        row = msgspec.json.decode(line, type=RequestRow)
        assert abs((datetime.now(UTC) - row.received_at).total_seconds()) < 60
        assert row == RequestRow(
            request_id=f"chat_{i:024x}",
            received_at=row.received_at,
            tenant_id="acme",
            user_id="ann",
            app="editor",
            context={**context, "cache_kind": "exact", "cache_entry": "e1"},
            prompt=prompt,
            candidates=("large", "small"),
            cache_result="exact",
            cache_tier="memory",
            cache_similarity=1.0,
            status="ok",
            latency_s=latency_s,
            cost_usd=0.0,
        )


@pytest.mark.parametrize(("how", "kept"), [("keep", True), ("hash", False), ("withhold", False)])
def test_prompts_of_hits_are_kept_as_their_tenant_wants(how, kept):
    (line,) = logged(how, "a secret wish", [0.1])
    row = json.loads(line)
    assert ("a secret wish" in line.decode()) is kept
    assert ("prompt_hash" in row["context"]) is (how == "hash")
