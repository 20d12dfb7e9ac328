import mlflow
import numpy as np
import pytest

from beast_ml.cache.artefact import open_cache
from beast_ml.errors import BundleIntegrityError
from beast_ml.registry.caches import EXAMPLE_PAIRS, register_cache
from beast_ml.registry.connection import connect
from beast_ml.registry.tracking import training_run

pytestmark = pytest.mark.slow


def test_a_registered_cache_compares_texts_as_the_cache_does(trained_cache, config):
    with training_run(config, "cache", "about it") as run:
        registered = register_cache(run, trained_cache, "# card")
    assert registered.uri == "models:/beast-cache/1"
    client = connect(config)
    version = client.get_model_version("beast-cache", "1")
    assert version.description == "# card"
    assert version.tags["verifier_hash"] == "none"
    assert client.get_run(run.id).data.metrics == {"gate/skipped": 0.5}
    location = client.get_model_version_download_uri("beast-cache", "1")
    model = mlflow.pyfunc.load_model(location)
    expected = open_cache(trained_cache).similarities(EXAMPLE_PAIRS)
    np.testing.assert_array_equal(model.predict(EXAMPLE_PAIRS), expected)
    assert (expected > 0.5).all()
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 2)


def test_a_damaged_cache_is_not_registered(trained_cache, config, tmp_path):
    import shutil

    damaged = shutil.copytree(trained_cache, tmp_path / "damaged")
    (damaged / "curves.json").write_text("[]")
    with pytest.raises(BundleIntegrityError), training_run(config, "cache", "about it") as run:
        register_cache(run, damaged, "# card")
    assert connect(config).search_registered_models() == []
