"""Parts worked on by the workers of a Dask cluster: several machines, or several processes of one.

Workers run the same releases as this process, or nothing is begun: the same function of another version is another
function. Each looks again before it works on a part, for one may join at any time. A worker that dies takes nothing
with it, since its parts are given to another one.
"""

from __future__ import annotations

import socket
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Final, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

from beast_ml.errors import BeastError, ClusterError, InputError, MissingExtraError
from beast_ml.executors.versions import differences, versions_here

__all__ = ["DaskExecutor"]

P = TypeVar("P")
R = TypeVar("R")
Shared = TypeVarTuple("Shared")

_CONNECT_S: Final = 30.0
_PATIENCE_S: Final = 60.0
_LOOK_EVERY_S: Final = 1.0
_PARTS_PER_THREAD: Final = 2
_TRIES: Final = 3

_versions_here = cache(versions_here)


class DaskExecutor:
    """Has parts worked on by a cluster, so not ``is_local``; a context manager that lets go of it.

    Parameters
    ----------
    client
        A `distributed.Client`; it is closed at the end.
    patience_s
        How long to wait for a worker when none is left.
    """

    is_local = False

    def __init__(self, client: Any, patience_s: float = _PATIENCE_S) -> None:
        self.client = client
        self._patience_s = patience_s
        self._sent: list[_Sent] = []
        self._n_maps = 0
        self._here = versions_here()

    @classmethod
    def connect(cls, address: str, *, timeout_s: float = _CONNECT_S, patience_s: float = _PATIENCE_S) -> DaskExecutor:
        """Return an executor on the cluster of a scheduler, whose workers have been looked at.

        Parameters
        ----------
        address
            Of the scheduler, such as ``tcp://10.0.0.1:8786``.
        timeout_s
            How long to wait for it, and then for a first worker.

        Raises
        ------
        MissingExtraError
            If Dask is not installed.
        InputError
            If the address is none.
        ClusterError
            If nobody answers there, there is no worker, or a worker runs other releases.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise MissingExtraError("the Dask executor", "dask") from error
        try:
            _knock(address, timeout_s)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions that differ: told below, and as an error
                client = Client(address, timeout=timeout_s, set_as_default=False)
        except OSError as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address} ({type(error).__name__}): start one with `dask scheduler`, "
                f"and workers with `dask worker {address}`"
            ) from error
        executor = cls(client, patience_s)
        try:
            executor._wait_for_workers(address, timeout_s)
            executor.check_workers()
        except BaseException:
            executor.close()
            raise
        return executor

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget what was sent, and let go of the cluster; it goes on without us."""
        self._sent.clear()
        with suppress(OSError, TimeoutError):
            self.client.close()

    def map(self, function: Callable[[P, *Shared], R], parts: Iterable[P], *shared: *Shared) -> Iterator[R]:
        """Yield ``function(part, *shared)`` of every part, in the order of the parts; see `Executor.map`.

        A part whose worker dies goes to another worker. What a part raises on purpose is raised here as it is. What is
        shared stays on the workers for as long as the value is in use here, and no longer than this where that cannot
        be seen, as with a dict.
        """
        self._n_maps += 1
        waiting: deque[_Task] = deque()
        ahead = _PARTS_PER_THREAD * max(1, self._n_threads())
        try:
            for part in parts:
                waiting.append(self._begin(function, part, shared))
                if len(waiting) >= ahead:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            if waiting:
                with suppress(OSError, TimeoutError):
                    self.client.cancel([task.future for task in waiting], force=True)
            self._n_maps -= 1
            if not self._n_maps:
                self._sent = [each for each in self._sent if each.is_watched]

    def check_workers(self) -> None:
        """See that all workers that there are run the same releases as this process.

        Raises
        ------
        ClusterError
            If one does not.
        """
        try:
            found: dict[str, dict[str, str]] = self.client.run(versions_here)
        except Exception as error:  # whatever unpickling says where beast-ml is absent or another
            raise ClusterError(
                f"the workers cannot run this beast-ml ({type(error).__name__}: {error}): install the same release "
                "there"
            ) from error
        if told := differences(self._here, found):
            raise _unlike(told)

    def _begin(self, function: Callable[..., Any], part: Any, shared: tuple[Any, ...], tries: int = 1) -> _Task:
        with self._talking(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # a part may be some MB
            sent = [self._send(value) for value in shared]
            future = self.client.submit(_answered, self._here, function, part, *sent, pure=False, retries=_TRIES - 1)
        return _Task(function, part, shared, future, tries)

    def _send(self, value: Any) -> Any:
        """Return what stands for a value on the workers: sent to all of them, once."""
        for each in self._sent:
            if each.value() is value and each.future.status == "finished":
                return each.future
        [future] = self.client.scatter([value], broadcast=True, hash=False)  # of a collection it sends the members
        others = [each for each in self._sent if each.value() is not value and each.value() is not None]
        self._sent = [*others, _Sent.of(value, future, self._forget)]
        return future

    def _forget(self, gone: object) -> None:
        """Let workers forget what stood for a value that is no more."""
        self._sent = [each for each in self._sent if each.value is not gone]

    def _result(self, task: _Task) -> Any:
        """Wait for a part, as long as there is somebody who may finish it."""
        waited_s = 0.0
        while True:
            with self._talking(), suppress(TimeoutError, CancelledError):
                task.future.exception(timeout=_LOOK_EVERY_S)  # waits, too, but raises nothing of the part's own
            if task.future.status == "finished":
                with self._talking():
                    answer, error = task.future.result()
                if error is not None:
                    raise error
                return answer
            if task.future.status in ("cancelled", "lost"):  # what was sent died with the workers that held it
                if task.tries >= _TRIES:
                    raise ClusterError(
                        f"{_said(task.function)} was begun {task.tries} times, and each time every worker that knew of "
                        "it died: give the workers more memory, or look into their logs"
                    )
                task = self._begin(task.function, task.part, task.shared, task.tries + 1)
            elif task.future.status == "error":
                raise self._failed(task)
            waited_s = 0.0 if self._n_threads() else waited_s + _LOOK_EVERY_S
            if waited_s > self._patience_s:
                raise ClusterError(
                    f"no worker has been left for {self._patience_s:g} s: start some with `dask worker ADDRESS` and "
                    "run this again; nothing was written"
                )

    def _failed(self, task: _Task) -> ClusterError:
        from distributed import KilledWorker

        self.check_workers()  # one of another release may fail in any way
        error = task.future.exception()
        if isinstance(error, KilledWorker):
            return ClusterError(
                f"{_said(task.function)} was given up: the workers that worked on it died one after the other. Give "
                "them more memory, or look into their logs; nothing was written"
            )
        return ClusterError(
            f"{_said(task.function)} failed on a worker, {_TRIES} times: {type(error).__name__}: {error}; nothing was "
            "written"
        )

    def _n_threads(self) -> int:
        with self._talking():
            return sum(self.client.nthreads().values())

    def _wait_for_workers(self, address: str, timeout_s: float) -> None:
        try:
            self.client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler at {address} has no worker: start some with `dask worker {address}`"
            ) from error

    def _talking(self) -> _Talking:
        return _Talking(self.client)


@dataclass(frozen=True)
class _Task:
    """A part that is being worked on, and what is needed to begin it again."""

    function: Callable[..., Any]
    part: Any
    shared: tuple[Any, ...]
    future: Any
    tries: int


@dataclass(frozen=True)
class _Sent:
    """What stands for a value on the workers, and whether we are told when the value is no more."""

    value: Callable[[], Any]
    future: Any
    is_watched: bool

    @classmethod
    def of(cls, value: Any, future: Any, gone: Callable[[object], None]) -> _Sent:
        """Watch a value, where that is possible; keep it otherwise."""
        try:
            return cls(weakref.ref(value, gone), future, is_watched=True)
        except TypeError:  # a dict, a number, a string
            return cls(lambda: value, future, is_watched=False)


class _Talking:
    """Says in our words that the scheduler is gone; a context manager."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> None:
        if self._client.status != "running":
            raise _gone(self._client.status)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, BeastError | TimeoutError):
            raise _gone(type(error).__name__) from error


def _knock(address: str, timeout_s: float) -> None:
    """See that somebody listens: a client that nobody answers takes long to say so, and more to be rid of."""
    found = urlsplit(address)
    try:
        port = found.port
    except ValueError:
        port = None
    if found.scheme not in ("tcp", "tls") or not found.hostname or port is None:
        raise InputError(f"the scheduler's address is {address!r}, must be like tcp://HOST:8786")
    socket.create_connection((found.hostname, port), timeout_s).close()


def _unlike(told: list[str]) -> ClusterError:
    return ClusterError(
        f"workers run other versions: {'; '.join(told)}. Install the same ones there, since results would not be "
        "the same"
    )


def _gone(what: str) -> ClusterError:
    return ClusterError(
        f"the Dask scheduler is gone ({what}): start it and its workers, and run this again; nothing was written"
    )


def _answered(
    wanted: Mapping[str, str], function: Callable[..., Any], part: Any, *shared: Any
) -> tuple[Any, BeastError | None]:
    """Return a part's result, or what it raised on purpose: trying that again would raise it again.

    A worker that runs other versions than those wanted works on nothing.
    """
    if wanted != _versions_here():
        from distributed import get_worker

        return None, _unlike(differences(wanted, {get_worker().address: _versions_here()}))
    try:
        return function(part, *shared), None
    except BeastError as error:
        return None, error


def _said(function: Callable[..., Any]) -> str:
    """Return what a function is called in an error."""
    inner = getattr(function, "func", function)
    return f"a part of `{getattr(inner, '__name__', inner)}`"
