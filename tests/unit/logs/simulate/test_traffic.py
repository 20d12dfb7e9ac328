import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.logs.simulate.config import TrafficConfig
from beast_ml.logs.simulate.traffic import build_traffic

EDGES = np.array([[0.0] * 4, [np.nextafter(1.0, 0.0)] * 4])


@given(
    tasks=st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=30),
    tenants=st.integers(1, 8),
    users=st.integers(1, 30),
    zipf=st.floats(0, 3),
    concentration=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_only_usable_queries_and_a_tenants_own_users_ask(
    tasks: list[str], tenants: int, users: int, zipf: float, concentration: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    usable = rng.random(len(tasks)) < 0.5
    usable[-1] = True
    config = TrafficConfig(
        tenants=tenants, users=users, repeat_zipf=zipf, tenant_zipf=zipf, task_concentration=concentration
    )
    traffic = build_traffic(np.array(tasks), usable, config, rng)
    asked = traffic.ask(np.concatenate([rng.random((40, 4)), EDGES]))
    assert usable[asked.queries].all()
    owners = [traffic.user_ids[user].split("/")[0] for user in asked.users]
    assert owners == [traffic.tenant_ids[tenant] for tenant in asked.tenants]
    assert np.allclose(traffic.task_mixes.sum(axis=1), 1.0)


def test_tenants_and_queries_follow_zipf() -> None:
    rng = np.random.default_rng(0)
    config = TrafficConfig(tenants=3, tenant_zipf=1.0, repeat_zipf=2.0)
    traffic = build_traffic(np.array([""] * 50), np.ones(50, dtype=bool), config, rng)
    asked = traffic.ask(rng.random((60_000, 4)))
    assert np.bincount(asked.tenants) / 60_000 == pytest.approx(np.array([6, 3, 2]) / 11, abs=0.01)
    counts = np.sort(np.bincount(asked.queries, minlength=50))[::-1]
    assert counts[0] / counts[1] == pytest.approx(4.0, rel=0.1)


def test_concentration_says_how_alike_tenants_are() -> None:
    def spread(concentration: float) -> float:
        config = TrafficConfig(tenants=200, task_concentration=concentration)
        tasks = np.array(["a"] * 30 + ["b"] * 10)
        traffic = build_traffic(tasks, np.ones(40, dtype=bool), config, np.random.default_rng(0))
        assert traffic.task_mixes[:, 0].mean() == pytest.approx(0.75, abs=0.1)
        return float(traffic.task_mixes[:, 0].std())

    assert spread(0.1) > 0.3
    assert spread(1000.0) < 0.02


def test_every_tenant_has_a_user() -> None:
    traffic = build_traffic(
        np.array(["a"]), np.array([True]), TrafficConfig(tenants=30, users=1), np.random.default_rng(0)
    )
    assert len(traffic.user_ids) == 30


@pytest.mark.parametrize("name", ["tenants", "users"])
def test_nobody_is_too_few(name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}` == 0, must be at least 1"):
        TrafficConfig(**{name: 0})  # type: ignore[arg-type]
