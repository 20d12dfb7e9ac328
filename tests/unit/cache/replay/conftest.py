from types import SimpleNamespace

import numpy as np
import pytest

from beast_ml.cache.replay.recognition import PairScores, Recognition
from beast_ml.cache.replay.stream import StreamRequest
from beast_ml.cache.verifier.partition_thresholds import PartitionThresholds
from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.features.hashing import HashingEncoder


@pytest.fixture
def asked():
    """Return a request by number, time and text."""

    def request(number, at_s, text, tenant="acme", kind="law", question=0):
        return StreamRequest(number, at_s, tenant, text, kind, question, 0, "usual", 2.0, 1.0)

    return request


class Overlap:
    """Scores pairs by the words they share, and counts what it is asked."""

    def __init__(self):
        self.n_scored = 0

    def score(self, a, b, vectors_a, vectors_b):
        self.n_scored += len(a)
        bags = [(set(x.lower().split()), set(y.lower().split())) for x, y in zip(a, b, strict=True)]
        return np.array([len(x & y) / len(x | y) for x, y in bags])


@pytest.fixture
def recognising():
    """A recognition on hashed words, its verifier beside it."""
    encoder = HashingEncoder(64)
    verifier = Overlap()

    def thresholds():
        return PartitionThresholds(RiskTarget(0.1), (0.7,), least_audit=1e-9, start=0.7)

    recognition = Recognition(encoder, encoder, -1.0, PairScores(verifier, encoder), thresholds)
    return SimpleNamespace(recognition=recognition, verifier=verifier)
