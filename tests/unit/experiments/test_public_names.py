import pytest

import beast_ml.experiments as experiments


def test_every_public_name_can_be_imported_from_the_package():
    for name in experiments.__all__:
        assert getattr(experiments, name).__name__ == name
    with pytest.raises(AttributeError, match="it has ExperimentAnalysis"):
        _ = experiments.anything
