import numpy as np
import pytest

from beast_ml.benchmarks.cache.gptcache import DEFAULT_THRESHOLD, gptcache_answers, gptcache_ranks
from beast_ml.features.hashing import HashingEncoder

pytest.importorskip("gptcache", reason="pip install --no-deps gptcache==0.1.44")


def test_it_ranks_as_the_cosine_does():
    ranks, most = gptcache_ranks(np.array([-1.0, 0.0, 0.5, 1.0]))
    np.testing.assert_allclose(ranks, [0.0, 2.0, 3.0, 4.0])
    assert most == 4.0


@pytest.mark.filterwarnings("ignore")
def test_its_own_store_and_threshold_answer():
    texts = [f"how do I {verb} the {thing}" for verb in ("open", "close", "paint") for thing in ("door", "box")]
    vectors = {text: HashingEncoder(64).encode([text])[0] for text in [*texts, "something else entirely"]}
    answers = gptcache_answers(
        texts, [texts[3], "something else entirely"], vectors.__getitem__, (DEFAULT_THRESHOLD, 0.0)
    )
    assert answers[DEFAULT_THRESHOLD] == [3, None]
    assert answers[0.0][1] is not None
