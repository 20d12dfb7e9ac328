"""What `beast dashboard` refuses before it listens, and what it reads."""

import pytest

from beast_ml.cli.dashboard import _config
from beast_ml.operations.keys.store import KeyStore

EVERYWHERE = "0.0.0.0"  # noqa: S104  nothing listens there


def configured(tmp_path, monkeypatch, host="127.0.0.1", reports_every=15.0):
    monkeypatch.chdir(tmp_path)
    return _config(["http://one:8080/", "http://two"], [tmp_path / "state"], None, host, 1000, reports_every)


def test_servers_and_folders_are_those_that_are_named(tmp_path, monkeypatch):
    config = configured(tmp_path, monkeypatch)
    assert config.servers == ("http://one:8080", "http://two")
    assert config.states == (tmp_path / "state",)
    assert set(config.reports) == {"drift", "selection"}
    assert not config.needs_key
    assert configured(tmp_path, monkeypatch, reports_every=0.0).reports == {}
    assert not (tmp_path / "state").exists()  # looking made nothing


def test_the_page_wants_the_admin_key_beyond_this_machine_and_once_there_are_keys(tmp_path, monkeypatch):
    assert configured(tmp_path, monkeypatch, host=EVERYWHERE).needs_key
    (tmp_path / "state").mkdir()
    KeyStore.open(tmp_path / "state", None).create("acme")
    (tmp_path / "state" / "admin.key").write_text("the admin key\n")
    config = configured(tmp_path, monkeypatch)
    assert config.needs_key
    assert config.admin_key == "the admin key"
    assert "the admin key" not in repr(config)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", EVERYWHERE), "set BEAST_ADMIN_KEY"),
        (("--server", "ftp://one"), "must be like http://127.0.0.1:8080"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(beast, options, said):
    code, _, error = beast("dashboard", *options)
    assert code == 2
    assert said in " ".join(error.split())
