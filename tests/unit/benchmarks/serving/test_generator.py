import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from beast_ml.benchmarks.serving.generator import generate, raw_requests
from beast_ml.benchmarks.serving.load_plan import CLOSED, Answered, LoadPlan, LoadResult, Records
from beast_ml.benchmarks.serving.processes import free_port
from beast_ml.errors import InputError


@dataclass
class TinyServer:
    """Answers each request by a function of its number; remembers bodies."""

    answer: Callable[[int], bytes | None]
    bodies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as stream:
            while True:
                try:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        line = stream.readline()
                        if not line:  # the end: it is read over and over, without end
                            return
                        head += line
                    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                    self.bodies.append(stream.read(length))
                    answer = self.answer(len(self.bodies))
                    if answer is None:
                        return
                    sock.sendall(answer)
                    if b"connection: close" in answer:
                        return
                except OSError:
                    return

    def close(self) -> None:
        self._listener.close()


def answer(body: bytes = b'{"request_id":"r"}', status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def tiny() -> Iterator[Callable[..., TinyServer]]:
    started = []

    def start(reply: Callable[[int], bytes | None] = lambda _: answer()) -> TinyServer:
        started.append(TinyServer(reply))
        return started[-1]

    yield start
    for server in started:
        server.close()


def plan_for(port, bodies, **changes):
    settings = {"connections": 4, "warm_s": 0.1, "measure_s": 0.4, "wait_s": 30.0}
    return LoadPlan(port=port, path="/v1/route", bodies=str(bodies), **(settings | changes))


def test_a_closed_loop_sends_bodies_in_order_and_none_twice(tiny, bodies, tmp_path):
    server = tiny()
    result = generate(plan_for(server.port, bodies, records=str(tmp_path / "r.npz")))
    assert result.failures == {}
    assert 0 < result.answered <= result.used == len(server.bodies)
    assert len(set(server.bodies)) == len(server.bodies)
    assert set(server.bodies) == {line.encode() for line in bodies.read_text().splitlines()[: result.used]}
    assert result.latency.p50_us > 0
    records = Records.load(str(tmp_path / "r.npz"))
    assert records.status.size == result.used
    assert (records.done_s >= records.due_s).all()


def test_an_open_loop_sends_at_its_rate_however_slow_the_answers(tiny, bodies):
    server = tiny()
    even = generate(plan_for(server.port, bodies, rate=200.0, even=True, warm_s=0.0))
    assert even.failures == {}
    assert even.answered == pytest.approx(80, abs=2)  # a count, not a time
    drawn = generate(plan_for(server.port, bodies, rate=200.0, seed=3, warm_s=0.0, measure_s=1.0))
    assert drawn.answered == pytest.approx(200, abs=60)
    assert drawn.lag_p99_us is not None


def test_latency_counts_from_when_a_request_was_due_not_from_when_it_could_be_sent(bodies, tiny, tmp_path):
    def slow(n):
        time.sleep(0.2 if n == 1 else 0.0)
        return answer()

    server = tiny(slow)
    records = str(tmp_path / "r.npz")
    generate(plan_for(server.port, bodies, rate=100.0, even=True, connections=1, warm_s=0.0, records=records))
    found = Records.load(records)
    first_done = found.done_s[0]
    waited = (found.due_s > found.due_s[0]) & (found.due_s < first_done)
    assert waited.sum() >= 5  # due while the only connection was busy
    assert (found.done_s[waited] > first_done).all()
    assert (found.due_s[waited] < first_done).all()
    assert (found.lag_s[waited][:-1] == 0).all()  # not the generator's own lateness


def test_what_is_not_answered_in_time_is_a_failure(bodies, tiny):
    server = tiny(lambda _: time.sleep(1.0))
    result = generate(
        plan_for(server.port, bodies, rate=100.0, even=True, connections=1, warm_s=0.0, measure_s=0.2, wait_s=0.0)
    )
    assert result.failures == {"unanswered": pytest.approx(20, abs=2)}
    assert result.answered == 0


def test_headers_are_sent_in_turn_and_every_end_is_written_down_with_what_was_answered(tiny, bodies, tmp_path):
    def reply(n):
        return None if n % 4 == 0 else answer(b'{"n":1}', head="x-told: something\r\n")

    turns = ({"x-turn": "even"}, {"x-turn": "odd"})
    plan = plan_for(tiny(reply).port, bodies, connections=1, answers=str(tmp_path / "a.jsonl"), headers_in_turn=turns)
    result = generate(plan)
    ends = [msgspec.json.decode(line, type=Answered) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    assert sorted(end.n for end in ends) == list(range(result.used))
    assert {end.status for end in ends} >= {200, CLOSED}
    assert all(("x-told: something" in end.head, end.body) == (True, '{"n":1}') for end in ends if end.status == 200)
    assert all((end.head, end.body) == ("", "") for end in ends if end.status == CLOSED)
    sent = [next(raw_requests(plan)) for _ in range(2)]
    assert all(b"x-turn: even" in each for each in sent)
    in_turn = raw_requests(plan)
    assert [b"x-turn: odd" in next(in_turn) for _ in range(4)] == [False, True, False, True]


def test_other_statuses_and_dropped_connections_are_failures(tiny, bodies):
    def reply(n):
        return (answer(), answer(status="503 Service Unavailable"), None)[n % 3]

    result = generate(plan_for(tiny(reply).port, bodies, rate=200.0))
    assert set(result.failures) == {"503", "closed"}
    assert result.answered > 0


def test_refused_connections_are_failures_and_do_not_stop_it(bodies):
    result = generate(plan_for(free_port(), bodies, rate=100.0, even=True, warm_s=0.0))
    assert result.answered == 0
    assert result.failures == {"refused": pytest.approx(40, abs=2)}


def test_a_server_that_asks_to_close_is_connected_to_anew(tiny, bodies):
    result = generate(plan_for(tiny(lambda _: answer(head="connection: close\r\n")).port, bodies, rate=100.0))
    assert result.failures == {}
    assert result.answered > 0


def test_chunked_answers_end_with_their_last_chunk(tiny, bodies):
    chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    result = generate(plan_for(tiny(lambda _: chunks).port, bodies, rate=100.0))
    assert result.failures == {}
    assert result.first_byte.p50_us <= result.latency.p50_us


def test_ids_of_acknowledged_requests_are_kept(tiny, bodies, tmp_path):
    def reply(n):
        return answer(b'{"request_id":"id-%d"}' % n, "200 OK" if n % 2 else "500 Oops")

    plan = plan_for(tiny(reply).port, bodies, rate=100.0, ids=str(tmp_path / "ids"), connections=1)
    generate(plan)
    ids = (tmp_path / "ids").read_text().split()
    assert ids
    assert all(int(each.removeprefix("id-")) % 2 for each in ids)


def test_bodies_that_run_out_are_an_error_unless_they_may_repeat(tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text('{"a":1}\n{"a":2}\n')
    plan = plan_for(1, path, skip=1, headers={"authorization": "Bearer k"})
    requests = raw_requests(plan)
    assert next(requests) == (
        b"POST /v1/route HTTP/1.1\r\nhost: 127.0.0.1:1\r\ncontent-type: application/json\r\n"
        b'authorization: Bearer k\r\ncontent-length: 7\r\n\r\n{"a":2}'
    )
    with pytest.raises(InputError, match="no body left"):
        next(requests)
    again = raw_requests(msgspec.structs.replace(plan, repeat=True))
    assert [next(again)[-7:] for _ in range(4)] == [b'{"a":2}', b'{"a":1}', b'{"a":2}', b'{"a":1}']


def test_as_a_process_it_says_when_it_measures_and_writes_its_result(tiny, bodies, tmp_path):
    asked, found = tmp_path / "plan.json", tmp_path / "result.json"
    asked.write_bytes(msgspec.json.encode(plan_for(tiny().port, bodies, rate=50.0)))
    command = [sys.executable, "-m", "beast_ml.benchmarks.serving.generator", str(asked), str(found)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["measuring", "measured"]
    result = msgspec.json.decode(found.read_bytes(), type=LoadResult)
    assert result.answered > 0
    assert np.isfinite(result.generator_cpu_us)
