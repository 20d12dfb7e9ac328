"""Who may look, and what nobody is told."""

import json
import time

import pytest
from starlette.testclient import TestClient

from beast_ml.serving.dashboard.app import dashboard_app
from beast_ml.serving.dashboard.feed import DashboardConfig, Feed
from beast_ml.serving.dashboard.sessions import Sessions
from beast_ml.serving.dashboard.traffic import Filters

HOST = "http://127.0.0.1"


@pytest.fixture
def client(tmp_path):
    """Return a function that returns a client of a dashboard; its server is not there."""
    clients = []

    def make(base_url=HOST, **more):
        config = DashboardConfig(
            servers=("http://127.0.0.1:9",),
            states=(tmp_path / "state",),
            store=tmp_path / "logs",
            loop=tmp_path / "loop.json",
            most_rows=1000,
            **more,
        )
        made = TestClient(dashboard_app(Feed(config), loopback_only=True), base_url=base_url, follow_redirects=False)
        made.__enter__()
        clients.append(made)
        return made

    yield make
    for each in clients:
        each.__exit__(None, None, None)


def test_the_page_may_fetch_nothing_from_elsewhere(client):
    answer = client().get("/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http" not in answer.text


def test_other_names_of_this_machine_are_refused(client):
    assert client("http://evil.example").get("/").status_code == 421


def test_a_page_for_the_operator_wants_the_admin_key(client):
    asked = client(needs_key=True, admin_key="the admin key")
    assert "password" in asked.get("/").text
    for path in ("/events", "/requests?from_s=0&until_s=1"):
        assert asked.get(path).status_code == 401
    wrong = asked.post("/login", content="key=guess")
    assert (wrong.headers["location"], wrong.cookies) == ("/?wrong", {})
    right = asked.post("/login", content="key=the+admin+key")
    assert "HttpOnly" in right.headers["set-cookie"]
    assert "SameSite=strict" in right.headers["set-cookie"]
    assert "chart" in asked.get("/").text
    assert asked.get("/requests?from_s=0&until_s=1").json() == {"n": 0, "rows": []}


def test_a_server_that_wants_its_key_makes_the_page_want_it(tmp_path):
    config = DashboardConfig(("http://one",), (), tmp_path, tmp_path, admin_key="k")
    feed = Feed(config)
    assert not feed.needs_key
    feed.servers[0].wants_key = True
    assert feed.needs_key


@pytest.mark.parametrize(
    "path", ["/requests", "/requests?from_s=a&until_s=1", "/requests?from_s=0&until_s=1&range=9y", "/events?source=x"]
)
def test_what_cannot_be_asked_is_refused(client, path):
    assert client().get(path).status_code == 422


def test_files_outside_the_page_are_not_served(client):
    asked = client()
    assert asked.get("/page/main.js").status_code == 200
    for name in ("login.html", "..%2Fapp.py", "nothing.js"):
        assert asked.get(f"/page/{name}").status_code == 404


def test_figures_hold_no_key(tmp_path):
    config = DashboardConfig(("http://one",), (tmp_path,), tmp_path, tmp_path / "loop.json", admin_key="the admin key")
    feed = Feed(config)
    assert "the admin key" not in json.dumps([feed.operations(), feed.traffic(Filters()), repr(config)])


def test_sessions_end_and_wrong_keys_begin_none(monkeypatch):
    sessions = Sessions("key")
    assert sessions.begin("other") is None
    token = sessions.begin("key")
    assert sessions.holds(token)
    assert not sessions.holds(token + "x")
    assert not sessions.holds(None)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 13 * 3600)
    assert not sessions.holds(token)


def test_without_a_key_nobody_is_let_in():
    assert Sessions(None).begin("") is None
