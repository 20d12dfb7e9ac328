import msgspec
import numpy as np
import pytest

from beast_ml.cache.verifier import partition_thresholds as module
from beast_ml.cache.verifier.partition_thresholds import PartitionState, PartitionThresholds
from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.errors import InputError

GRID = np.linspace(0.95, 0.35, 13).tolist()
NEVER = float("inf")


def ask(thresholds, rng, n, tenant, partition=b"p", wrong_rate=0.0, loosest=0.0):
    """Have lookups with scores from ``loosest`` on observed, half of them with a verdict."""
    for score, wrong, seen in rng.random((n, 3)).tolist():
        verdict = wrong < wrong_rate if seen < 0.5 else None
        thresholds.observe(partition, tenant, loosest + (1 - loosest) * score, wrong=verdict, probability=0.5)


def test_before_there_is_evidence_all_have_the_threshold_from_labelled_pairs():
    thresholds = PartitionThresholds(RiskTarget(0.02), GRID, 0.5, start=0.9)
    assert thresholds.value(b"new", "acme") == thresholds.pooled == 0.9


def test_a_partition_has_its_tenants_threshold_until_it_has_its_own():
    thresholds = PartitionThresholds(RiskTarget(0.03, 0.1), GRID, 0.5, start=0.9)
    ask(thresholds, np.random.default_rng(5), 6000, "acme", wrong_rate=0.03)
    assert thresholds.value(b"p", "acme") < thresholds.value(b"new", "acme") < 0.85  # a tenant's is at half of epsilon
    assert thresholds.value(b"new", "globex") == pytest.approx(0.9)


def test_a_partition_without_evidence_gets_nothing_where_that_is_asked_for():
    careful = PartitionThresholds(RiskTarget(0.04), GRID, 0.5, start=0.9, before="none")
    assert careful.value(b"new", "acme") == NEVER


def test_a_flood_of_one_tenant_does_not_loosen_what_others_begin_with():
    rng = np.random.default_rng(7)
    thresholds = PartitionThresholds(RiskTarget(0.1, 0.1), GRID, 0.5, start=0.9)
    for n in range(20):
        ask(thresholds, rng, 300, "flood", b"%d" % n, loosest=0.35)  # nothing is wrong, however loose
        ask(thresholds, rng, 30, "acme", b"acme", wrong_rate=0.2, loosest=0.35)
    # All in all 2% are wrong where all hit, but 10% where both count alike; all together are kept at 5%.
    assert thresholds.value(b"new", "flood") == pytest.approx(0.35)
    assert thresholds.pooled == thresholds.value(b"new", "globex") > 0.6


def test_what_tenants_ask_alike_loosens_what_others_begin_with():
    rng = np.random.default_rng(8)
    thresholds = PartitionThresholds(RiskTarget(0.1, 0.1), GRID, 0.5, start=0.9)
    for n in range(40):
        ask(thresholds, rng, 50, ("acme", "globex", "initech")[n % 3], b"%d" % (n % 3), loosest=0.35)
    assert thresholds.pooled < 0.9
    assert thresholds.value(b"new", "umbrella") == thresholds.pooled


def test_a_tenant_that_is_unlike_the_others_is_noticed_over_all_its_partitions():
    rng = np.random.default_rng(6)
    thresholds = PartitionThresholds(RiskTarget(0.04, 0.1), GRID, 0.5, start=0.5)
    ask(thresholds, rng, 2000, "good", b"good")
    for n in range(100):
        ask(thresholds, rng, 5, "bad", b"bad%d" % n, wrong_rate=0.9, loosest=0.9)  # too few of each partition
    assert thresholds.value(b"new", "bad") == NEVER
    assert thresholds.value(b"new", "good") < 1.0
    assert thresholds.n_alarms >= 1


def test_a_partition_that_cried_alarm_no_longer_gets_another_ones_threshold():
    rng = np.random.default_rng(6)
    thresholds = PartitionThresholds(RiskTarget(0.04, 0.1), GRID, 0.5, least_verified=10)
    ask(thresholds, rng, 2000, "acme", b"bad")
    ask(thresholds, rng, 600, "acme", b"bad", wrong_rate=1.0, loosest=0.9)
    assert thresholds.value(b"bad", "acme") == NEVER


def test_a_looser_threshold_of_a_partitions_own_is_no_alarm_for_its_tenant():
    rng = np.random.default_rng(11)
    thresholds = PartitionThresholds(RiskTarget(0.06, 0.1), GRID, 0.5, least_verified=50)
    for n in range(30):  # the rate is between half of epsilon, which a tenant's keeps, and all of it
        ask(thresholds, rng, 300, "acme", b"%d" % (n % 2), wrong_rate=0.045, loosest=0.9)
    assert thresholds.value(b"0", "acme") < 1.0
    assert thresholds.n_alarms == 0


def test_lookups_that_were_not_picked_are_told_of_with_the_next_one_of_their_partition():
    thresholds = PartitionThresholds(RiskTarget(0.02, 0.1), GRID, 0.5)
    thresholds.observe(b"a", "acme", 0.9, wrong=False, probability=0.5, unverified=3)
    state = thresholds.state()
    assert state.own[b"a"].n_lookups == state.tenants["acme"].n_lookups == state.pooled.n_lookups == 4
    assert state.counted == {"acme": 4}


def test_a_verdict_that_is_lost_is_told_to_all():
    thresholds = PartitionThresholds(RiskTarget(0.02, 0.1), GRID, 0.5)
    thresholds.observe(b"a", "acme", 0.9, lost=True, probability=0.5)
    state = thresholds.state()
    lost = [each.sums[5] for each in (state.own[b"a"], state.tenants["acme"], state.pooled)]
    assert all(each[1] > 0 for each in lost)
    assert thresholds.n_verified == 0


def test_a_verdict_that_is_refused_is_not_counted():
    thresholds = PartitionThresholds(RiskTarget(0.02, 0.1), GRID, 0.5)
    with pytest.raises(InputError, match=r"`probability` == 0\.1"):
        thresholds.observe(b"a", "acme", 0.9, wrong=False, probability=0.1)
    assert (thresholds.n_verified, thresholds.state().counted) == (0, {})


def test_what_was_learnt_survives_a_restart():
    rng = np.random.default_rng(3)
    first, again = (PartitionThresholds(RiskTarget(0.03, 0.1), GRID, 0.5, start=0.9) for _ in range(2))
    for tenant in ("acme", "globex"):
        ask(first, rng, 1500, tenant, tenant.encode(), wrong_rate=0.01)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state()), type=PartitionState))
    assert again.state() == first.state()
    for tenant in ("acme", "globex", "new"):
        assert again.value(b"new", tenant) == first.value(b"new", tenant)


def test_of_many_partitions_the_oldest_are_forgotten_but_not_those_that_went_wrong(monkeypatch):
    monkeypatch.setattr(module, "_MOST_KEPT", 3)
    thresholds = PartitionThresholds(RiskTarget(0.02, 0.1), GRID, 0.5, start=0.9)
    for _ in range(60):
        thresholds.observe(b"bad", "bad", 0.99, wrong=True)
    for name in ("a", "b", "c", "d"):
        thresholds.observe(name.encode(), name, -np.inf)
    state = thresholds.state()
    assert set(state.own) == {b"bad", b"c", b"d"}
    assert set(state.tenants) == {"bad", "c", "d"}
    assert len(state.counted) <= 3
    assert thresholds.value(b"bad", "bad") == NEVER
