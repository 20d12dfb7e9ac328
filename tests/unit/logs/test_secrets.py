from __future__ import annotations

import json

from beast_ml.logs.secrets import REMOVED, without_secrets

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz"


def test_secrets_are_removed_at_any_depth_by_name() -> None:
    row = {
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "requester_ip_address": "10.0.0.1",
        "metadata": {"user_api_key_hash": "88dc", "user_api_key_alias": "bob", "user_api_key_team_id": "team"},
        "list": [{"Authorization": "Basic eA=="}],
    }
    assert without_secrets(row) == {
        "api_key": REMOVED,
        "requester_ip_address": REMOVED,
        "metadata": {"user_api_key_hash": REMOVED, "user_api_key_alias": REMOVED, "user_api_key_team_id": "team"},
        "list": [{"Authorization": REMOVED}],
    }


def test_secrets_are_removed_from_text_and_bytes() -> None:
    nested = json.dumps({"user_api_key": "88dc28", "model": "m"})
    assert without_secrets({"metadata": nested}) == {"metadata": '{"user_api_key": "[removed]", "model": "m"}'}
    assert KEY not in without_secrets(f"Incorrect API key provided: {KEY}.")
    assert KEY.encode() not in without_secrets(b"\xff Bearer " + KEY.encode()).encode()


def test_everything_else_stays() -> None:
    row = {"prompt_tokens": 3, "prompt": "my keyboard", "api_key": None, "tokens": ["a"], "cost": 0.5}
    assert without_secrets(row) == row
