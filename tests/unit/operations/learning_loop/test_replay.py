import numpy as np

from beast_ml.operations.learning_loop.replay import Replay


def policy(models, probability):
    probability = np.array(probability)
    choices = tuple(models[j] for j in probability.argmax(axis=1))
    return Replay(models, choices, probability, np.full(probability.shape, 0.5))


def test_policies_differ_where_they_do_so_in_more_than_a_hundredth_of_the_draws_whatever_their_pools_are():
    mine = policy(("a", "b"), [[1.0, 0.0], [0.0, 1.0], [0.905, 0.095], [0.9, 0.1]])
    theirs = policy(("b", "c", "a"), [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.1, 0.0, 0.9], [0.2, 0.0, 0.8]])
    assert mine.differs_from(theirs).tolist() == [False, True, False, True]
    assert theirs.differs_from(mine).tolist() == [False, True, False, True]
