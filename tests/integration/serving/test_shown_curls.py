"""What the READMEs show of curl, asked of a server."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import beast_ml
from beast_ml.testing.shown_commands import shown_commands

ROOT = Path(beast_ml.__file__).parents[1]
SHOWN = {
    str(shown): shown
    for page in (ROOT / "README.md", *(ROOT / "beast_ml").rglob("README.md"))
    for shown in shown_commands(page)
    if shown.words[0] == "curl"
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_curl_shown_is_answered_as_the_page_says(serve):
    gateway = serve()
    address = gateway.url.removeprefix("http://").removesuffix("/v1")

    def ask(*words):
        words = [word.replace("localhost:8080", address).replace("$BEAST_ADMIN_KEY", "admin") for word in words]
        done = subprocess.run([*words, "--fail-with-body"], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, (words, done.stdout)
        return done.stdout

    decision = json.loads(ask("curl", "-s", "localhost:8080/v1/route", "-d", '{"prompt": "a"}'))
    placeholders = {'"request_id": "..."': decision["request_id"], '"served_model": "..."': decision["model"]}
    for shown in SHOWN.values():
        words = list(shown.words)
        for held, value in placeholders.items():
            words = [word.replace(held, held.replace("...", value)) for word in words]
        assert ask(*words)
