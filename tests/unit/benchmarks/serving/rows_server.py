"""A server that decides like ours as far as clients see: an id for each request, in a log line before the answer.

python rows_server.py PORT WORKERS STATE
"""

import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

STATE = Path(os.environ.get("ROWS_STATE", "."))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        sys.stderr.write('{"event": "serving.started"}\n')
        sys.stderr.flush()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive()).get("body")
    request_id = str(uuid.uuid4())
    if body:
        row = {"table": "requests", "request_id": request_id, "received_at": datetime.now(UTC).isoformat()}
        with (STATE / "segments" / f"{os.getpid()}.open.jsonl").open("a") as log:
            log.write(json.dumps(row | {"policy_version": "abc"}) + "\n")
    answer = b'{"request_id":"%s"}' % request_id.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    state = Path(sys.argv[3])
    (state / "segments").mkdir(parents=True, exist_ok=True)
    os.environ["ROWS_STATE"] = str(state)
    uvicorn.run(
        "rows_server:app",
        app_dir=str(Path(__file__).parent),
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        log_level="warning",
        access_log=False,
    )
