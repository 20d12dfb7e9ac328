"""Networks between the server and what it stands on: cut, stalled, slow, and forgetful."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.chaos.process_faults import lacks
from beast_ml.benchmarks.chaos.tcp_proxy import Network

__all__ = ["NETWORK_FAULTS"]

_DELAY_S: Final = 0.3
_SERVICES: Final = {"valkey": "Valkey", "postgresql": "PostgreSQL", "mlflow": "MLflow"}
_MAY_REFUSE: Final = {"valkey": frozenset({503}), "postgresql": frozenset({503}), "mlflow": frozenset[int]()}
"""Without the ledger nothing is spent beyond what is leased; without the registry everything goes on."""

_DONE: Final[dict[Network, str]] = {
    "cut": "connections end, and none can be made",
    "stalled": "what is sent does not arrive, and nobody is told",
    "slow": f"what is sent arrives {_DELAY_S:g} s later, each way",
}


def _sets(service: str, network: Network) -> Callable[[Deployment, np.random.Generator], None]:
    return lambda deployment, _: deployment.networks[service].set(network, _DELAY_S)


def _resets(service: str) -> Callable[[Deployment, np.random.Generator], None]:
    return lambda deployment, _: deployment.networks[service].reset()


def _forgets(service: str) -> Callable[[Deployment, np.random.Generator], None]:
    return lambda deployment, _: deployment.networks[service].forget()


def _mends(service: str) -> Callable[[Deployment], None]:
    return lambda deployment: deployment.networks[service].set("up")


def _network(service: str, network: Network) -> Fault:
    return Fault(
        f"{_SERVICES[service]} {network}",
        "network" if service != "mlflow" else "registry",
        _DONE[network],
        _sets(service, network),
        Rate(2, 60.0, "shared"),
        mend=_mends(service),
        may=_MAY_REFUSE[service],
        forbids=lacks(service),
    )


def _reset(service: str) -> Fault:
    return Fault(
        f"{_SERVICES[service]} reset",
        "network" if service != "mlflow" else "registry",
        "all connections end with a reset, and new ones can be made",
        _resets(service),
        Rate(12, scope="shared"),
        may=_MAY_REFUSE[service],
        forbids=lacks(service),
    )


def _forgotten(service: str) -> Fault:
    return Fault(
        f"{_SERVICES[service]} forgotten",
        "network" if service != "mlflow" else "registry",
        "what is sent over connections that were made before is lost for ever, and nobody is told; new ones work",
        _forgets(service),
        Rate(4, scope="shared"),
        may=_MAY_REFUSE[service],
        forbids=lacks(service),
    )


NETWORK_FAULTS: Final = tuple(
    fault
    for service in _SERVICES
    for fault in (*(_network(service, network) for network in _DONE), _reset(service), _forgotten(service))
)
"""In the order of the report."""
