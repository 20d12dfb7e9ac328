import json
from datetime import UTC, datetime, timedelta

from beast_ml.operations.keys.store import KeyStore


def test_a_key_is_made_shown_once_and_listed_without_its_secret(beast, tmp_path):
    code, out, err = beast("keys", "create", "acme", "--name", "laptop")
    key = out.strip()
    assert code == 0
    assert key.startswith("bst_")
    assert "not shown again" in err
    code, out, _ = beast("keys", "list")
    assert code == 0
    assert key.split("_")[1] in out
    assert key.split("_")[2] not in out
    assert "laptop" in out
    (kept,) = KeyStore.open(tmp_path / "data" / "serving").list()
    assert kept.tenant == "acme"


def test_json_for_programs(beast):
    made = json.loads(beast("keys", "create", "acme", "--expires", "30", "--json")[1])
    assert made["key"].startswith(f"bst_{made['id']}_")
    in_30_days = datetime.now(UTC) + timedelta(days=30)
    assert abs(datetime.fromisoformat(made["expires_at"]) - in_30_days) < timedelta(minutes=5)
    (listed,) = json.loads(beast("keys", "list", "--json")[1])
    assert (listed["id"], listed["state"], listed["name"]) == (made["id"], "active", "")
    assert json.loads(beast("keys", "revoke", made["id"], "--json")[1])["state"] == "revoked"


def test_a_key_is_revoked(beast):
    key = beast("keys", "create", "acme")[1].strip()
    code, out, _ = beast("keys", "revoke", key.split("_")[1])
    assert code == 0
    assert "of acme is revoked" in out
    assert "revoked" in beast("keys", "list")[1]


def test_what_cannot_be_is_said_in_one_sentence(beast):
    for arguments, said in (
        (("create", "a/b"), "must be 1 to 64 letters"),
        (("create", "acme", "--expires", "0"), "after now"),
        (("revoke", "0123"), "no key with the id '0123'"),
    ):
        code, out, err = beast("keys", *arguments)
        assert (code, out) == (2, "")
        assert said in " ".join(err.split())


def test_no_keys_means_open_on_this_machine(beast):
    code, out, err = beast("keys", "list")
    assert (code, out) == (0, "")
    assert "no key was made yet" in err
    assert json.loads(beast("keys", "list", "--json")[1]) == []


def test_the_state_folder_and_database_are_those_of_the_settings(beast, tmp_path, monkeypatch):
    monkeypatch.setenv("BEAST_SERVING__STATE", str(tmp_path / "elsewhere"))
    beast("keys", "create", "acme")
    assert (tmp_path / "elsewhere" / "state.db").is_file()
    monkeypatch.setenv("BEAST_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/beast")
    code, _, err = beast("keys", "list")
    assert code == 1
    assert "does not answer" in " ".join(err.split())
    assert "hunter2" not in err
