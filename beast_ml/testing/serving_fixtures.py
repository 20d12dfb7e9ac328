"""A pytest fixture that serves a bundle in this process; a conftest imports it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from beast_ml.logs.segment_reader import rows_in_segments
from beast_ml.serving.app import App
from beast_ml.serving.chores import HostChores
from beast_ml.serving.services import BodyLimits
from beast_ml.serving.worker import ServingConfig, Worker

__all__ = ["ADMIN_KEY", "Api", "serving"]

ADMIN_KEY = "an-admin-key-of-the-tests"
"""Of the server that is tested."""


class Api:
    """A running application and what it wrote.

    Parameters
    ----------
    client
        Talks to it.
    worker
        Its parts.
    state
        Its state folder.
    """

    def __init__(self, client: TestClient, worker: Worker, state: Path) -> None:
        self.client, self.worker, self.state = client, worker, state

    def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        """Return the answer to a POST of JSON, or of bytes as they are."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers=headers)

    def get(self, path: str, key: str | None = None) -> Any:
        """Return the answer to a GET."""
        return self.client.get(path, headers={} if key is None else {"authorization": f"Bearer {key}"})

    def rows(self, table: str = "requests") -> list[dict[str, Any]]:
        """Return what is in the log's segments of a table."""
        return list(rows_in_segments(self.state / "segments", table))


@pytest.fixture
def serving(router_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Return a function that serves the bundle of `fitted` under a configuration with some fields changed."""
    with ExitStack() as stack:

        def serve(**changed: Any) -> Api:
            state = tmp_path / "state"
            config = ServingConfig(
                router=str(router_folder),
                state=state,
                tracking_uri="sqlite:///nowhere.db",
                body=BodyLimits(100_000, 16),
                requests_per_s=None,
                prompts="keep",
                prompts_of={},
                sync_s=0.2,
                chores=HostChores(state / "locks" / "leader.lock", ()),
                open_without_keys=True,
                admin_key=ADMIN_KEY,
            )
            worker = Worker(replace(config, **changed))
            client = stack.enter_context(
                TestClient(App(worker), base_url="http://127.0.0.1", raise_server_exceptions=False)
            )
            return Api(client, worker, state)

        yield serve
