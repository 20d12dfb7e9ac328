"""What is broken on purpose: a server of several workers, its database, its Valkey, its registry, and a provider.

Everything that goes over a network goes through a `TcpProxy`, so that the network can fail, too.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.chaos.disks import LoopDisk, why_no_disk
from beast_ml.benchmarks.chaos.invariants import Bill
from beast_ml.benchmarks.chaos.tcp_proxy import TcpProxy
from beast_ml.benchmarks.chaos.traffic import TENANTS, TIGHT, Reply
from beast_ml.benchmarks.serving.processes import ServerProcess, lasting_port
from beast_ml.benchmarks.serving.shared_services import MlflowServer, PostgresServer, ValkeyServer
from beast_ml.benchmarks.serving.subjects import Subject
from beast_ml.bundle.manifest import verify
from beast_ml.domain.money import nano_usd
from beast_ml.errors import UnavailableError
from beast_ml.logs.segment_reader import rows_in_segments
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.ledger import AccountState, Ledger
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.keys.store import KeyStore
from beast_ml.registry.config import CHAMPION, ROUTER, TrackingConfig

__all__ = ["PRICES_USD", "Deployment", "Services", "kill_all"]

PRICES_USD: Final = (10.0, 30.0)
"""Of a million input and output tokens, of every model."""

_AMPLE_USD: Final = 10_000.0
_TIGHT_STEP_USD: Final = 0.05
_START_S: Final = 180.0
_LOOK_S: Final = 0.05
_PERIOD: Final = "month"
_SYNC_S: Final = 0.5
"""``serving.sync_s`` is 0.2; a sync takes a moment, too."""


@dataclass(frozen=True)
class Services:
    """What a deployment has beside its server and its provider.

    Parameters
    ----------
    database, valkey, registry
        Whether there is a PostgreSQL, a Valkey, an MLflow server; without a registry the router is a folder.
    own_disk
        Whether state lies on a disk of its own, where that may be mounted.
    shifted_clock
        Whether the server's clock can be set.
    """

    database: bool = True
    valkey: bool = True
    registry: bool = False
    own_disk: bool = False
    shifted_clock: bool = False


class Deployment:
    """Everything that runs; a context manager that starts and ends it.

    Parameters
    ----------
    folder
        For all that it keeps; a short path, for sockets lie in it.
    bundles
        The router that serves, and another one.
    services
        What there is.
    workers
        Of the server.
    cores
        To run on; None: all.
    """

    def __init__(
        self,
        folder: Path,
        bundles: Sequence[Path],
        services: Services,
        workers: int,
        cores: Sequence[int] | None = None,
    ) -> None:
        self.folder, self.bundles, self.services = folder, tuple(bundles), services
        self.n_workers, self._cores = workers, cores
        self.state = folder / "server" / "state"
        self.store = LogStore(folder / "store")
        self.quarantine = folder / "quarantine"
        self.port = lasting_port()
        self.models = tuple(verify(self.bundles[0]).models)
        price_in, price_out = (nano_usd(usd) // 1_000_000 for usd in PRICES_USD)
        self.prices_nano = dict.fromkeys(self.models, (price_in, price_out))
        self.keys: dict[str, str] = {}
        self.excused: set[str] = set()
        """Ids whose rows were damaged on purpose, or were not on the disk yet when it failed."""
        self.failed_at: list[float] = []
        """When its disk failed, on `time.monotonic`'s clock."""
        self.noted: list[str] = []
        """What went wrong while a fault was done or undone."""
        self.herds: list[Reply] = []
        """Requests that came beside the steady load, and what became of them."""
        self.networks: dict[str, TcpProxy] = {}
        self.disk: LoopDisk | None = None
        self.why_no_disk: str | None = None if services.own_disk else "the state lies on this machine's disk"
        self.valkey: ValkeyServer | None = None
        self.postgres: PostgresServer | None = None
        self.mlflow: MlflowServer | None = None
        self._stack = ExitStack()
        self._admin, self._secret = secrets.token_hex(32), secrets.token_hex(32)
        self._tight_usd = 0.0
        self._server: ServerProcess | None = None
        self._provider: ServerProcess | None = None

    # What runs.

    @property
    def server(self) -> ServerProcess:
        """The server that runs now."""
        if self._server is None:
            raise UnavailableError("the deployment was not started")
        return self._server

    @property
    def provider(self) -> ServerProcess:
        """The provider."""
        if self._provider is None:
            raise UnavailableError("the deployment was not started")
        return self._provider

    @property
    def segments(self) -> Path:
        """Folder of the log's segments."""
        return self.state / "segments"

    @property
    def tracking(self) -> TrackingConfig:
        """The registry, reached directly."""
        if self.mlflow is None:
            raise UnavailableError("the deployment has no registry")
        return TrackingConfig(self.mlflow.url)

    @property
    def shift(self) -> Path:
        """File of the seconds that the server's clock is ahead."""
        return self.folder / "shift"

    def __enter__(self) -> Deployment:
        try:
            self._start_all()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.disk is not None:  # a run that is interrupted may leave it frozen
            self.disk.heal()
        self._stack.close()

    def start_server(self) -> None:
        """Start the server where it was, as an init system does: again and again until the port is free."""
        until = time.monotonic() + _START_S
        while _is_taken(self.port):
            if time.monotonic() > until:
                raise UnavailableError(f"port {self.port} does not get free: see {self.folder}")
            time.sleep(_LOOK_S)
        self._server = self._subject().start(
            self.folder / "server", workers=self.n_workers, cores=self._cores, port=self.port, within_s=_START_S
        )

    def stop_server(self) -> None:
        """Ask the server to end, and wait for it."""
        self.server.stop()

    def children(self, named: str) -> list[int]:
        """Return the server's processes whose command line has a word in it."""
        return [pid for pid in self.server.pids() if named in _command_line(pid)]

    def n_started(self) -> int:
        """Return how many workers have started so far."""
        return self.server.log.read_bytes().count(b'"serving.started"')

    # What is asked of it.

    def readiness(self) -> dict[str, Any]:
        """Return what ``/readyz`` tells an admin."""
        _, body = self.server.get("/readyz", {"authorization": f"Bearer {self._admin}"})
        return dict(msgspec.json.decode(body))

    def raise_tight_budget(self, by_usd: float = _TIGHT_STEP_USD) -> bool:
        """Let the tight tenant spend a little more; return whether the server took it."""
        self._tight_usd += by_usd
        body = msgspec.json.encode({"rules": self._budgets()})
        try:
            status, _ = self.server.post("/v1/admin/budgets", body, {"authorization": f"Bearer {self._admin}"})
        except OSError:
            return False
        return status == 200

    def provider_fails(self, fault: str, **more: Any) -> None:
        """Let calls of the provider fail from now on; see `beast_ml.testing.fake_provider`."""
        self.provider.post("/control/outages", msgspec.json.encode({"fault": fault, **more}))

    def provider_heals(self) -> None:
        """End what `provider_fails` began."""
        self.provider.ask("DELETE", "/control/outages")

    # What is checked.

    def logged(self) -> dict[str, str]:
        """Return id and tenant of every request in segments and store."""
        found = {row["request_id"]: row["tenant_id"] for row in rows_in_segments(self.segments)}
        if self.store.path.is_dir():
            kept = self.store.requests(columns=["request_id", "tenant_id"])
            found |= dict(zip(kept["request_id"].to_pylist(), kept["tenant_id"].to_pylist(), strict=True))
        return found

    def unsynced(self, replies: Iterable[Reply]) -> set[str]:
        """Return the ids of requests that were answered just before the disk failed.

        Their rows survive a kill, not a disk that takes nothing more: they need not have been on it yet.
        """
        return {
            reply.request_id
            for reply in replies
            if reply.request_id
            and any(at - _SYNC_S <= reply.answered.ended_at <= at + _SYNC_S for at in self.failed_at)
        }

    def accounts(self) -> list[AccountState]:
        """Return what the ledger holds."""
        with closing(self._ledger()) as ledger:
            return ledger.accounts(ended=True)

    def rules(self) -> tuple[BudgetRule, ...]:
        """Return the budgets as the ledger has them."""
        with closing(self._ledger()) as ledger:
            return ledger.rules().rules

    def bills(self) -> list[Bill]:
        """Return what the provider is owed for."""
        return msgspec.json.decode(self.provider.get("/control/bills")[1], type=list[Bill])

    def headers_in_turn(self) -> tuple[dict[str, str], ...]:
        """Return the headers of requests, in the order of `TENANTS`."""
        return tuple({"authorization": f"Bearer {self.keys[tenant]}"} for tenant in TENANTS)

    # How it is made.

    def _start_all(self) -> None:
        self.state.parent.mkdir(parents=True)
        self._mount()
        if self.services.database:
            self.postgres = postgres = PostgresServer()
            self._stack.callback(postgres.close)
            postgres.start()
            self._connect("postgresql", _socket_of(postgres.url))
        if self.services.valkey:
            self.valkey = valkey = ValkeyServer(self.folder / "valkey")
            self._stack.callback(valkey.kill)
            valkey.start()
            self._connect("valkey", ("127.0.0.1", _port_of(valkey.url)))
        if self.services.registry:
            self.mlflow = mlflow = MlflowServer(self.folder / "mlflow")
            mlflow.start()
            self._stack.callback(mlflow.kill)
            self._connect("mlflow", ("127.0.0.1", _port_of(mlflow.url)))
        script = self.folder / "provider.json"
        script.write_bytes(msgspec.json.encode({"echo": True, "latency_scale": 1.0}))
        module = "beast_ml.testing.fake_provider"
        command = (sys.executable, "-m", module, "--port", "{port}", "--script", str(script))
        self._provider = Subject("provider", command, ready="/v1/models").start(self.folder / "provider")
        self._stack.callback(self._provider.kill)
        with closing(KeyStore.open(self.state, self._database_url(direct=True))) as keys:
            self.keys = {tenant: keys.create(tenant) for tenant in TENANTS}

    def start(self) -> None:
        """Start the server for the first time; a registry must have a champion by then."""
        self.start_server()
        self._stack.callback(lambda: self.server.stop())

    def _mount(self) -> None:
        if not self.services.own_disk:
            return
        self.why_no_disk = why_no_disk()
        if self.why_no_disk is None:
            try:
                self.disk = LoopDisk(self.state, self.folder / "disk.img")
            except UnavailableError as error:
                self.why_no_disk = str(error)
            else:
                self._stack.callback(self.disk.close)

    def _connect(self, name: str, upstream: tuple[str, int] | Path) -> None:
        self.networks[name] = self._stack.enter_context(TcpProxy(upstream, lasting_port()))

    def _subject(self) -> Subject:
        router = f"models:/{ROUTER}@{CHAMPION}" if self.services.registry else str(self.bundles[0])
        environment = self._environment() | {
            "BEAST_SERVING__ROUTER": router,
            "BEAST_SERVING__PORT": str(self.port),
            "BEAST_SERVING__WORKERS": str(self.n_workers),
            "BEAST_SERVING__STATE": str(self.state),
        }
        if self.services.shifted_clock:
            module = "beast_ml.benchmarks.chaos.shifted_server"
            return Subject("beast", (sys.executable, "-m", module, str(self.shift)), environment)
        return Subject("beast", (sys.executable, "-m", "beast_ml.cli.serving_process"), environment)

    def _environment(self) -> dict[str, str]:
        price_in, price_out = PRICES_USD
        url = f"http://127.0.0.1:{self.provider.port}/v1"
        told: dict[str, Any] = {
            "BEAST_CANDIDATES": [
                {"name": name, "input_usd_per_mtok": price_in, "output_usd_per_mtok": price_out} for name in self.models
            ],
            "BEAST_ENDPOINTS": [
                {"name": f"at-{name}", "model": name, "base_url": url, "api_key_env": "FAKE_KEY", "timeout_s": 5.0}
                for name in self.models
            ],
            "BEAST_BUDGETS": self._budgets(),
        }
        environment = {name: json.dumps(value) for name, value in told.items()} | {
            "FAKE_KEY": "none",
            "BEAST_ADMIN_KEY": self._admin,
            "BEAST_SECRET": self._secret,
            "BEAST_CACHE__ENABLED": "true",
            "BEAST_CACHE__SECRET": self._secret,
            "BEAST_CACHE__MAX_WAIT_S": "10",
            "BEAST_CACHE_DIR": str(self.folder / "bundles"),
            "BEAST_SERVING__COMPACT_S": "0",
            "BEAST_SERVING__POLL_S": "1",
            "BEAST_SERVING__DRAIN_S": "10",
        }
        if self.services.database:
            environment["BEAST_DATABASE_URL"] = self._database_url() or ""
        if self.services.valkey:
            environment["BEAST_REDIS_URL"] = f"redis://127.0.0.1:{self.networks['valkey'].port}/0"
        if self.services.registry:
            environment["BEAST_TRACKING__URI"] = f"http://127.0.0.1:{self.networks['mlflow'].port}"
        return environment

    def _budgets(self) -> list[dict[str, Any]]:
        limits = {**dict.fromkeys(TENANTS, _AMPLE_USD), TIGHT: round(self._tight_usd, 6)}
        return [
            {"scope": "tenant", "key": tenant, "period": _PERIOD, "limit_usd": usd} for tenant, usd in limits.items()
        ]

    def _database_url(self, *, direct: bool = False) -> str | None:
        if self.postgres is None:
            return None
        if direct:
            return self.postgres.url
        user = self.postgres.url.partition("://")[2].partition("@")[0].partition(":")[0]
        return f"postgresql://{user}@127.0.0.1:{self.networks['postgresql'].port}/postgres"

    def _ledger(self) -> Ledger:
        redis_url = None if self.valkey is None else self.valkey.url
        return open_ledger(self._database_url(direct=True), redis_url, self.state)


def kill_all(pids: Iterable[int]) -> None:
    """Kill processes of ours; one that is gone already is fine."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_taken(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended
        return ""


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _socket_of(url: str) -> tuple[str, int] | Path:
    """Return where a PostgreSQL of ours listens: in a folder, for an address with ``?host=``, or at a port."""
    import sqlalchemy as sa

    address = sa.make_url(url)
    host = address.query.get("host") or address.host or "127.0.0.1"
    if str(host).startswith("/"):
        return Path(str(host)) / f".s.PGSQL.{address.port or 5432}"
    return str(host), address.port or 5432
