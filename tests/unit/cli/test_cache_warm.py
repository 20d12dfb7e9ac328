"""`beast cache warm` in this process, against a gateway that notes what it is asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from beast_ml.cache.lifetimes import fit_lifetimes
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines


@pytest.fixture
def log(beast, tmp_path):
    """Return the store of a week in which acme asks one thing daily, another one twice, and a third tenant one, too."""
    rows = [
        routed_request(
            request_id=f"{tenant}-{text}-{day}",
            received_at=f"2026-03-{day:02}T09:10:00Z",
            tenant_id=tenant,
            prompt=text,
            cost_usd=0.01,
            feedback_at=f"2026-03-{day:02}T19:10:00Z",
        )
        for tenant, text, days in (
            ("acme", "Is [it] raining?", range(1, 9)),
            ("acme", "rarely", (1, 5)),
            ("zeta", "secret of zeta", range(1, 9)),
        )
        for day in days
    ]
    rows += [cached_request(request_id=f"c{i}", prompt="Is [it] raining? ") for i in range(3)]
    write_json_lines(tmp_path / "log.jsonl", rows)
    assert beast("logs", "ingest", "log.jsonl", "--store", "s")[0] == 0
    return "s"


@pytest.fixture
def gateway():
    """Return (address, what was asked, the answers' statuses in turn)."""
    asked, statuses = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, self.headers["authorization"], body["messages"][0]["content"]))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked, statuses
    server.shutdown()
    thread.join()
    server.server_close()


def test_shows_a_plan_and_asks_nothing(beast, log):
    code, out, _ = beast("cache", "warm", "--store", log)
    assert code == 0
    assert "Is [it] raining?" in out
    assert "secret of zeta" in out
    assert "rarely" not in out
    assert "Nothing was asked yet" in out


def test_a_budget_is_kept(beast, log):
    code, out, _ = beast("cache", "warm", "--store", log, "--budget-usd", "0.015", "--json")
    plan = json.loads(out)
    assert code == 0
    assert plan["dry_run"] is True
    assert plan["result"] is None
    assert len(plan["answers"]) == 1
    assert plan["cost_usd"] == 0.01
    assert plan["n_candidates"] == 2


def test_learned_lives_are_heeded(beast, log, tmp_path):
    lives = fit_lifetimes([])
    short = msgspec.structs.replace(lives, other_s=0.0, kinds={})
    (tmp_path / "lives.json").write_bytes(msgspec.json.encode(short))
    code, out, _ = beast("cache", "warm", "--store", log, "--lifetimes", "lives.json", "--json")
    assert code == 0
    assert json.loads(out)["answers"] == []
    (tmp_path / "lives.json").write_text("[]")
    code, _, err = beast("cache", "warm", "--store", log, "--lifetimes", "lives.json")
    assert code == 2
    assert "no learned lives" in err


def test_yes_asks_the_tenants_questions_with_its_key(beast, log, gateway, monkeypatch):
    url, asked, _ = gateway
    monkeypatch.setenv("BEAST_API_KEY", "the-key")
    code, out, _ = beast("cache", "warm", "--store", log, "--yes", "--tenant", "acme", "--url", url)
    assert code == 0
    assert asked == [("/v1/chat/completions", "Bearer the-key", "Is [it] raining?")]
    assert "1 answers made, 0 failed, 0 left" in out


def test_a_gateway_that_fails_or_refuses_is_told(beast, log, gateway, monkeypatch):
    url, _, statuses = gateway
    monkeypatch.setenv("BEAST_API_KEY", "the-key")
    statuses += [503, 401]
    command = ("cache", "warm", "--store", log, "--yes", "--tenant", "acme", "--url", url)
    code, out, _ = beast(*command, "--json")
    assert code == 0
    assert json.loads(out)["result"] == {"made": 0, "failed": 1, "left": 0}
    code, _, err = beast(*command)
    assert code == 2
    assert "refuses the key" in err


def test_says_what_is_missing(beast, log, monkeypatch):
    monkeypatch.delenv("BEAST_API_KEY", raising=False)
    for options, message in (
        (("--yes",), "--tenant"),
        (("--yes", "--tenant", "acme"), "BEAST_API_KEY"),
        (("--tenant", "nobody"), "no request of the tenant 'nobody'"),
    ):
        code, _, err = beast("cache", "warm", "--store", log, *options)
        assert code == 2
        assert message in err
    code, _, err = beast("cache", "warm", "--store", "elsewhere")
    assert code == 2
    assert "holds no log" in err
