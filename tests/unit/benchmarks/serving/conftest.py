"""Bodies for servers of a few lines."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    path = tmp_path / "bodies.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"number {i}"}) + "\n" for i in range(100_000)))
    return path
