from types import SimpleNamespace

import pytest

from beast_ml.errors import BundleError
from beast_ml.serving.answer_cache.current_verifier import CurrentVerifier, InUse

TRAINED = SimpleNamespace(verifier="verifier", grid=lambda: (0.9, 0.5))


class Folder:
    """Has a verifier, or fails."""

    def __init__(self):
        self.now, self.asked, self.error = 0.0, 0, None

    def verifier(self, cache):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return TRAINED if cache == "verified" else None


@pytest.fixture
def folder():
    return Folder()


@pytest.fixture
def current(folder):
    return CurrentVerifier(folder.verifier, lambda: folder.now)


def test_a_verifier_is_loaded_once_and_anew_when_the_trained_cache_changes(folder, current):
    assert [current.of("verified") for _ in range(3)] == [InUse("verifier", 0.5)] * 3
    assert current.of("plain") is None
    assert current.of("plain") is None
    assert folder.asked == 2


@pytest.mark.parametrize("error", [BundleError("damaged"), OSError("away")])
def test_one_that_cannot_be_loaded_is_tried_again_ever_more_rarely_and_warned_of_once(folder, current, error, said):
    folder.error = error
    for second in range(200):
        folder.now = float(second)
        for _ in range(10):
            assert current.of("verified") is None
    assert folder.asked == 9  # at once, after 1, 2, 4, ... 32 s, then each minute
    folder.error, folder.now = None, 260.0
    assert current.of("verified") == InUse("verifier", 0.5)
    folder.error = error
    assert current.of("verified") is not None
    assert said() == ["cache.no_verifier", "cache.verifier_is_back"]


def test_another_trained_cache_is_tried_at_once(folder, current):
    folder.error = BundleError("damaged")
    assert current.of("other") is None
    folder.error = None
    assert current.of("verified") is not None
