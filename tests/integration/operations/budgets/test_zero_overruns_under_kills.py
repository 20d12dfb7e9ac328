import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

LIMIT = 1_500_000


def swarm(state: Path, *arguments: object) -> dict[str, int]:
    command = [sys.executable, "-m", "beast_ml.testing.budget_swarm", state, "--limit", LIMIT, *arguments]
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def check(found: dict[str, int]) -> None:
    assert found["failures"] == 0
    assert found["kills"] == 40
    assert found["requests"] > 1000
    assert found["refused"] > 0
    # Zero overruns: neither the ledger nor the truth is above the limit.
    assert found["settled"] + found["lost"] <= LIMIT
    assert found["truly_settled"] + found["truly_in_doubt"] <= LIMIT
    # All that was acknowledged as settled is booked; what a kill left in doubt is settled, or lost at its upper amount.
    assert found["truly_settled"] <= found["settled"] <= found["truly_settled"] + found["truly_in_doubt"]
    assert found["settled"] + found["lost"] >= found["truly_settled"]
    # And nothing is held by the dead, so that the budget was used up.
    assert (found["leased"], found["reserved"]) == (0, 0)
    assert found["settled"] + found["lost"] >= 0.9 * LIMIT


@pytest.mark.slow
def test_64_workers_with_kills_on_sqlite(tmp_path: Path) -> None:
    check(swarm(tmp_path / "state"))


@pytest.mark.slow
def test_64_workers_with_kills_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    check(swarm(tmp_path / "state", "--database-url", postgres_url))


@pytest.mark.slow
def test_64_workers_with_kills_on_valkey(tmp_path: Path, valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    check(swarm(tmp_path / "state", "--redis-url", valkey_url))
