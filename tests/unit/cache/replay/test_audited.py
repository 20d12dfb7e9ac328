import pytest

from beast_ml.cache.replay.audited import AuditedThresholds
from beast_ml.cache.verifier.partition_thresholds import PartitionThresholds
from beast_ml.cache.verifier.risk import RiskTarget


@pytest.fixture
def audited():
    def make(right, share=0.2):
        thresholds = PartitionThresholds(RiskTarget(0.02, 0.1), (0.9, 0.7, 0.5), share, start=0.9)
        return AuditedThresholds(thresholds, right)

    return make


def test_a_share_of_hits_is_verified_instead_of_served(asked, audited):
    judged = []
    deciding = audited(lambda request, source: judged.append(source) or True)
    served = [deciding.serves(asked(n, float(n), "x"), b"p", 0.95, n) for n in range(500)]
    assert sum(served) + len(judged) == 500
    assert 60 < len(judged) < 140
    assert not any(served[source] for source in judged)


def test_what_is_right_loosens_the_threshold_and_what_is_wrong_ends_all_hits(asked, audited):
    good = audited(lambda *_: True)
    assert not good.allows(asked(0, 0.0, "x"), b"p", 0.6)
    for n in range(6000):
        good.serves(asked(n, float(n), "x"), b"p", 0.6, n)
    assert good.allows(asked(0, 0.0, "x"), b"p", 0.6)
    bad = audited(lambda *_: False)
    served = [bad.serves(asked(n, float(n), "x"), b"p", 0.95, n) for n in range(3000)]
    assert sum(served) < 600
    assert not bad.allows(asked(0, 0.0, "x"), b"p", 0.95)


def test_below_what_a_threshold_can_come_down_to_nothing_is_verified(asked, audited):
    deciding = audited(lambda *_: pytest.fail("judged"), share=1.0)
    assert not deciding.serves(asked(0, 0.0, "x"), b"p", 0.4, 0)
