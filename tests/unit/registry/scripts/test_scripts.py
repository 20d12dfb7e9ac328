"""MLflow runs copies of the scripts; here they are imported, which is the same code."""

from types import SimpleNamespace

import numpy as np
import pytest

from beast_ml.bundle.parts import read_part, write_part
from beast_ml.registry.scripts.part import PartModel
from beast_ml.registry.scripts.router import RouterModel
from beast_ml.serving.router import Router

PROMPTS = np.array(["What is 2 + 2?", "Summarise this."])


def loaded(model, **artifacts):
    context = SimpleNamespace(artifacts={name: str(path) for name, path in artifacts.items()})
    model.load_context(context)
    return lambda values: model.predict(context, values)


@pytest.mark.parametrize("part", ["quality", "cost"])
def test_a_part_answers_as_the_bundles_own(small_bundle, tmp_path, part):
    write_part(small_bundle.folder, part, tmp_path / part)
    answer = loaded(PartModel(), part=tmp_path / part)(small_bundle.features)
    np.testing.assert_array_equal(answer, read_part(tmp_path / part).predict(small_bundle.features))


def test_an_encoder_takes_prompts(small_bundle, tmp_path):
    write_part(small_bundle.folder, "encoder", tmp_path / "encoder")
    assert loaded(PartModel(), part=tmp_path / "encoder")(PROMPTS).shape == (2, 512)


def test_a_router_answers_as_the_serving_runtime(small_bundle):
    chosen = loaded(RouterModel(), bundle=small_bundle.folder)(PROMPTS)
    assert list(chosen) == [d.model for d in Router.load(small_bundle.folder).route_batch(list(PROMPTS))]
