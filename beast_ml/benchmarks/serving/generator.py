"""An HTTP load generator in a process of its own: raw sockets and one epoll, about 15 microseconds a request.

Closed loop, it finds what a server can take. Open loop, it sends when requests are due whether or not earlier ones were
answered, and times each from when it was due: a server that stops for a second shows a second, not one slow request.

    python -m beast_ml.benchmarks.serving.generator PLAN.json RESULT.json

``measuring`` and ``measured`` on standard output say when what is measured begins and ends. SIGUSR1 ends it early, as a
load balancer stops sending to a server that is no longer ready.
"""

from __future__ import annotations

import gc
import select
import signal
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import numpy as np

from beast_ml.benchmarks.serving.load_plan import (
    CLOSED,
    REFUSED,
    UNANSWERED,
    Answered,
    LoadPlan,
    LoadResult,
    Quantiles,
    Records,
)
from beast_ml.errors import InputError

__all__ = ["generate", "raw_requests"]

_READ: Final = 1 << 14
_ID: Final = b'"request_id":"'
_IDLE_S: Final = 0.05
_NAN: Final = float("nan")
_encode: Final = msgspec.json.Encoder().encode


def raw_requests(plan: LoadPlan) -> Iterator[bytes]:
    """Yield requests as they go over the wire.

    Raises
    ------
    InputError
        If the bodies run out and may not repeat.
    """
    heads = cycle([_head(plan, more) for more in plan.headers_in_turn or ({},)])
    skip = plan.skip
    while True:
        with Path(plan.bodies).open("rb") as lines:
            for line in lines:
                if skip:
                    skip -= 1
                    continue
                body = line.rstrip(b"\n")
                yield b"%b%d\r\n\r\n%b" % (next(heads), len(body), body)
        if not plan.repeat:
            raise InputError(f"{plan.bodies} has no body left that was not sent: make more of them, or measure shorter")


def _head(plan: LoadPlan, more: Mapping[str, str]) -> bytes:
    extra = "".join(f"{name}: {value}\r\n" for name, value in {**plan.headers, **more}.items())
    return (
        f"POST {plan.path} HTTP/1.1\r\nhost: 127.0.0.1:{plan.port}\r\ncontent-type: application/json\r\n{extra}"
        "content-length: "
    ).encode()


class _Connection:
    """One kept-alive connection and the request that is on it."""

    __slots__ = ("due", "first", "found", "lag", "measured", "n", "need", "sock")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.found = b""
        self.need = 0  # bytes of the whole answer; 0: not known, -1: until the last chunk
        self.n = -1
        self.due = self.first = self.lag = 0.0
        self.measured = False


class _Generator:
    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._requests = raw_requests(plan)
        self._poll = select.epoll()
        self._busy: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque(_Connection() for _ in range(plan.connections))
        self._due, self._first, self._done, self._lag = array("d"), array("d"), array("d"), array("d")
        self._status, self._measured = array("q"), array("b")
        self._ids: list[bytes] = []
        self._answers: FileIO | None = None if plan.answers is None else FileIO(plan.answers, "w")
        self._measuring = False
        self._waiting: deque[tuple[float, bool]] = deque()
        self._short_until = 0.0  # requests due by then found no free connection
        self.used = self.sent_bytes = self.answered_bytes = 0
        self.stopped = False

    def send(self, connection: _Connection, due: float, lag: float, measured: bool) -> bool:
        """Send the next request, and return whether it went out."""
        request = next(self._requests)
        connection.n = self.used
        self.used += 1
        self.sent_bytes += len(request)
        connection.due, connection.first, connection.lag = due, 0.0, lag
        connection.measured, connection.found, connection.need = measured, b"", 0
        sock = connection.sock
        try:
            if sock is None:
                sock = self._connect(connection)
            n = sock.send(request)
            if n < len(request):
                sock.setblocking(True)
                sock.sendall(request[n:])
                sock.setblocking(False)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError | TimeoutError) or connection.sock is None
            self._keep(connection, REFUSED if refused else CLOSED, _NAN)
            self._close(connection)
            return False
        self._busy[sock.fileno()] = connection
        return True

    def _connect(self, connection: _Connection) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._plan.port), timeout=1.0)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        connection.sock = sock
        return sock

    def _close(self, connection: _Connection) -> None:
        if connection.sock is not None:
            self._busy.pop(connection.sock.fileno(), None)
            with suppress(OSError):
                self._poll.unregister(connection.sock.fileno())
            connection.sock.close()
            connection.sock = None

    def _keep(self, connection: _Connection, status: int, done: float) -> None:
        self._due.append(connection.due)
        self._first.append(connection.first or _NAN)
        self._done.append(done)
        self._lag.append(connection.lag)
        self._status.append(status)
        self._measured.append(connection.measured)
        if self._answers is not None:
            head, _, body = (connection.found if status > 0 else b"").partition(b"\r\n\r\n")
            text = (head.decode("latin-1"), body.decode(errors="replace"))
            ended_at = time.monotonic() if done != done else done
            self._answers.write(_encode(Answered(connection.n, connection.due, ended_at, status, *text)) + b"\n")

    def receive(self, timeout_s: float) -> list[_Connection]:
        """Return connections whose request has ended, however it did, after waiting for one."""
        # select() waits for microseconds, epoll for whole milliseconds.
        if timeout_s > 0:
            select.select((self._poll,), (), (), timeout_s)
        ended = []
        for fd, _ in self._poll.poll(0):
            connection = self._busy.get(fd)
            if connection is None:
                self._drop_idle(fd)
                continue
            try:
                data = connection.sock.recv(_READ)  # type: ignore[union-attr]  # what is busy is connected
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            now = time.monotonic()
            if not data:
                self._keep(connection, CLOSED, _NAN)
                self._close(connection)
                ended.append(connection)
            elif self._is_whole(connection, data, now):
                self._end(connection, now)
                ended.append(connection)
        return ended

    def _is_whole(self, connection: _Connection, data: bytes, now: float) -> bool:
        if connection.found:
            data = connection.found + data
        connection.found = data
        if not connection.first:
            connection.first = now
        if not connection.need:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = data[:end].lower()
            at = head.find(b"content-length:")
            if at >= 0:
                stop = head.find(b"\r", at)
                connection.need = end + 4 + int(head[at + 15 : stop if stop > 0 else end])
            else:
                connection.need = -1 if b"chunked" in head else end + 4
        return data.endswith(b"0\r\n\r\n") if connection.need < 0 else len(data) >= connection.need

    def _end(self, connection: _Connection, now: float) -> None:
        data = connection.found
        self.answered_bytes += len(data)
        status = int(data[9:12])
        self._keep(connection, status, now)
        if self._plan.ids is not None and 200 <= status < 300:
            at = data.find(_ID) + len(_ID)
            self._ids.append(data[at : data.find(b'"', at)])
        if b"connection: close" in data[: data.find(b"\r\n\r\n")].lower():
            self._close(connection)
        else:
            self._busy.pop(connection.sock.fileno())  # type: ignore[union-attr]  # what was busy is connected

    def _drop_idle(self, fd: int) -> None:
        """Forget a connection that the server closed while nothing was on it, as any client's pool would."""
        for connection in self._free:
            if connection.sock is not None and connection.sock.fileno() == fd:
                self._close(connection)
                return

    def closed_loop(self, until: float) -> None:
        """Keep every connection busy."""
        while self._free:
            connection = self._free.popleft()
            if not self.send(connection, time.monotonic(), 0.0, self._measuring):
                self._free.append(connection)
                time.sleep(_IDLE_S)
            if time.monotonic() >= until:
                return
        while (now := time.monotonic()) < until and not self.stopped:
            for connection in self.receive(min(until - now, _IDLE_S)):
                while not self.send(connection, time.monotonic(), 0.0, self._measuring):
                    time.sleep(_IDLE_S)
                    if time.monotonic() >= until:
                        self._free.append(connection)
                        return

    def open_loop(self, until: float, rate: float, rng: Random | None) -> None:
        """Send when requests are due: on a free connection, or on the first that gets free."""
        due = time.monotonic()
        while True:
            now = time.monotonic()
            while due <= now and due < until:
                self._waiting.append((due, self._measuring))
                due += rng.expovariate(rate) if rng else 1.0 / rate
            self._send_waiting(now)
            if now >= until or self.stopped:
                return
            self._free.extend(self.receive(min(due, until) - time.monotonic()))

    def _send_waiting(self, now: float) -> None:
        while self._waiting and self._free:
            due, measured = self._waiting.popleft()
            connection = self._free.popleft()
            # The generator's own lateness, unless the request had to wait for a connection.
            if not self.send(connection, due, 0.0 if due <= self._short_until else now - due, measured):
                self._free.append(connection)
        if self._waiting:
            self._short_until = now

    def finish(self, until: float) -> None:
        """Send what still waits for a connection, and wait for the answers that are to come."""
        while (self._busy or self._waiting) and (now := time.monotonic()) < until:
            self._send_waiting(now)
            self._free.extend(self.receive(min(until - now, _IDLE_S)))
        for connection in list(self._busy.values()):
            self._keep(connection, UNANSWERED, _NAN)
            self._close(connection)
        nowhere = _Connection()
        for nowhere.n, (nowhere.due, nowhere.measured) in enumerate(self._waiting, self.used):
            self._keep(nowhere, UNANSWERED, _NAN)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._free:
            self._close(connection)
        self._poll.close()
        if self._answers is not None:
            self._answers.close()

    def stop(self, *_: object) -> None:
        """Send nothing more."""
        self.stopped = True

    def measure(self) -> None:
        """Count what is sent from now on."""
        self._measuring = True

    def records(self, began_at: float) -> Records:
        """Return every request."""
        due, first, done = (np.frombuffer(column) - began_at for column in (self._due, self._first, self._done))
        return Records(
            began_at,
            due,
            first,
            done,
            np.frombuffer(self._lag),
            np.frombuffer(self._status, dtype=np.int64),
            np.frombuffer(self._measured, dtype=np.bool_),
        )

    @property
    def ids(self) -> list[bytes]:
        """Ids of acknowledged requests."""
        return self._ids


def generate(plan: LoadPlan) -> LoadResult:
    """Send what is planned, and return what was found; ``measuring`` and ``measured`` go to standard output.

    Raises
    ------
    InputError
        If the bodies run out and may not repeat.
    """
    generator = _Generator(plan)
    before = signal.signal(signal.SIGUSR1, generator.stop)
    rng = None if plan.even else Random(plan.seed)  # noqa: S311  no secret hangs on it
    gc.collect()
    gc.freeze()
    gc.disable()
    began = time.monotonic()

    def run(until: float) -> None:
        if plan.rate is None:
            generator.closed_loop(until)
        else:
            generator.open_loop(until, plan.rate, rng)

    try:
        run(began + plan.warm_s)
        _tell("measuring")
        generator.measure()
        started, cpu, used = time.monotonic(), time.process_time(), generator.used
        run(started + plan.measure_s)
        stopped, cpu = time.monotonic(), time.process_time() - cpu
        n_sent = generator.used - used
        _tell("measured")
        generator.finish(time.monotonic() + plan.wait_s)
    finally:
        gc.enable()
        gc.unfreeze()
        signal.signal(signal.SIGUSR1, before)
    generator.close()
    records = generator.records(began)
    if plan.records is not None:
        records.save(plan.records)
    if plan.ids is not None:
        Path(plan.ids).write_bytes(b"\n".join(generator.ids))
    if plan.rate is None:
        inside = records.answered & (records.done_s >= started - began) & (records.done_s < stopped - began)
    else:
        inside = records.answered & records.measured
    return LoadResult(
        generator="own",
        seconds=stopped - started,
        answered=int(inside.sum()),
        failures=records.failures(),
        latency=Quantiles.of((records.done_s - records.due_s)[inside]),
        first_byte=Quantiles.of((records.first_s - records.due_s)[inside]),
        lag_p99_us=None if plan.rate is None else float(np.percentile(records.lag_s[records.measured], 99) * 1e6),
        generator_cpu_us=cpu / max(n_sent, 1) * 1e6,
        used=generator.used,
        request_bytes=generator.sent_bytes / max(generator.used, 1),
        answer_bytes=generator.answered_bytes / max(int((records.status > 0).sum()), 1),
    )


def _tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asked = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=LoadPlan)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(generate(asked)))
