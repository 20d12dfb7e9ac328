import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.predictors.heads import sigmoid
from beast_ml.predictors.new_model import PopulationPrior
from beast_ml.predictors.probes import choose_probes


def test_chosen_probes_tell_more_than_random_ones():
    # Most prompts are alike; the few on which candidates differ are what a new model has to be asked.
    chosen_errors, random_errors = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        telling = rng.random(2000) < 0.1
        skills = np.where(telling[:, None], 3.0, 0.2) * rng.standard_normal((2000, 3))
        logits = skills @ rng.standard_normal((3, 7)) * 0.6 + 0.5
        known, truth = logits[:, :6], sigmoid(logits[:, 6])
        answers = (rng.random(2000) < truth).astype(float)
        prior = PopulationPrior(known, float(truth.mean()))
        for asked, errors in (
            (choose_probes(prior, known, 30), chosen_errors),
            (rng.permutation(2000)[:30], random_errors),
        ):
            learnt = prior.update(known[asked], answers[asked])
            errors.append(((sigmoid(learnt.logits(known)) - truth) ** 2)[telling].mean())
    assert np.mean(chosen_errors) < 0.8 * np.mean(random_errors)


def test_no_prompt_is_chosen_twice_and_all_where_there_are_few():
    known = np.random.default_rng(0).standard_normal((12, 3))
    chosen = choose_probes(PopulationPrior(known, 0.5), known, 50)
    assert sorted(chosen.tolist()) == list(range(12))


def test_what_was_chosen_first_does_not_depend_on_how_many_are_chosen():
    known = np.random.default_rng(0).standard_normal((100, 3))
    prior = PopulationPrior(known, 0.5)
    assert choose_probes(prior, known, 20)[:5].tolist() == choose_probes(prior, known, 5).tolist()


def test_no_probes_are_refused():
    known = np.zeros((3, 2))
    with pytest.raises(InputError, match="n_probes"):
        choose_probes(PopulationPrior(known, 0.5), known, 0)
