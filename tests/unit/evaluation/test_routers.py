import numpy as np
import pytest

from beast_ml.evaluation.routers import Contest, embed_prompts


@pytest.fixture(scope="module")
def contest(make_outcomes, encoder):
    train, test = make_outcomes(300, 1, prefix="a"), make_outcomes(100, 2, prefix="b")
    return Contest(train, test, *embed_prompts(encoder, train.prompts, test.prompts), "cost_usd", 0)


def test_lines_that_many_prompts_share_are_not_embedded(encoder):
    prompts = [f"Answer the following question.\nWhat is {i} plus {i}?" for i in range(50)]
    bare = [prompt.split("\n")[1] for prompt in prompts]
    train, test = embed_prompts(encoder, prompts, prompts[:5])
    assert (train == encoder.encode(bare)).all()
    assert (test == train[:5]).all()


def test_guessed_tasks_route_like_true_ones_where_words_give_them_away(contest):
    guessed, true = contest.best_per_task(true_task=False), contest.best_per_task(true_task=True)
    assert (guessed.name, true.name) == ("best_per_task", "best_per_true_task")
    assert (guessed.choices == true.choices).mean() > 0.9
    assert "guessed" in guessed.reads


def test_the_coin_goes_from_the_cheapest_to_the_best_model(contest):
    coin = contest.random(np.array([0.0, 0.5, np.inf]))
    small, large = contest.train.models.index("small"), contest.train.models.index("large")
    assert set(coin.choices[0]) == {small}
    assert set(coin.choices[-1]) == {large}
    assert 0.3 < (coin.operating == large).mean() < 0.7
    assert (coin.predictions.quality[0] == coin.predictions.quality[-1]).all()


def test_single_models_answer_everything(contest):
    for i, single in enumerate(contest.singles()):
        assert single.name == f"single:{contest.train.models[i]}"
        assert single.points.tolist() == [[i] * 100]


def test_the_neighbours_read_the_prompt_alone(contest):
    router, tuned = contest.neighbours()
    assert router.reads == "prompt"
    assert tuned.out_of_fold.quality.shape == (300, 3)
