"""Run a fake provider: ``python -m beast_ml.testing.fake_provider --port 9000 [--script script.json]``.

The script is a JSON `ProviderScript`. With ``--with-parent`` it is the first line of the standard input, and the
provider ends when that does. It prints one line: ``{"port": 9000}``.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

import msgspec
import uvicorn

from beast_ml.testing.fake_provider.app import FakeProviderApp
from beast_ml.testing.fake_provider.outcomes import ProviderScript
from beast_ml.testing.fake_provider.server import listening_socket, uvicorn_config


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--latency-scale", type=float)
    parser.add_argument("--with-parent", action="store_true")
    asked = parser.parse_args()

    script = ProviderScript()
    if asked.with_parent:
        script = msgspec.json.decode(sys.stdin.buffer.readline(), type=ProviderScript)
    elif asked.script:
        script = msgspec.json.decode(asked.script.read_bytes(), type=ProviderScript)
    if asked.latency_scale is not None:
        script = msgspec.structs.replace(script, latency_scale=asked.latency_scale)
    if asked.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    listener = listening_socket(asked.port)
    listener.listen(4096)
    sys.stdout.write(msgspec.json.encode({"port": listener.getsockname()[1]}).decode() + "\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn_config(FakeProviderApp(script))).run([listener])


def _end_with_parent() -> None:
    while sys.stdin.buffer.readline():
        pass
    os._exit(0)  # connections that hang on purpose must not keep it


if __name__ == "__main__":
    main()
