import numpy as np
import pytest

from beast_ml.bundle.parts import EncoderPart, PredictorPart, available_parts, read_part, write_part
from beast_ml.bundle.read import read_bundle
from beast_ml.errors import BundleError

PARTS = ("encoder", "quality", "cost", "latency")


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("bundle", ["router_folder", "static_folder"])
def test_a_part_predicts_as_the_whole_does(bundle, name, request, tmp_path, world):
    folder = request.getfixturevalue(bundle)
    assert available_parts(folder) == PARTS
    write_part(folder, name, tmp_path / name)
    part, whole = read_part(tmp_path / name), read_bundle(folder)
    prompts = np.array(world.outcomes.prompts[:7])
    if name == "encoder":
        assert isinstance(part, EncoderPart)
        expected = whole.features.encoder.encode(list(prompts))
        np.testing.assert_array_equal(part.predict(prompts), expected)
    else:
        assert isinstance(part, PredictorPart)
        rows = whole.features.matrix(list(prompts))
        np.testing.assert_array_equal(part.predict(rows), getattr(whole.predictors, name).predict(rows))
        np.testing.assert_array_equal(part.predict(rows.astype(float)), part.predict(rows))


@pytest.mark.parametrize("name", ["reliability", "happiness"])
def test_a_part_that_is_not_there_is_refused(router_folder, tmp_path, name):
    with pytest.raises(BundleError, match=f"was not trained for {name}"):
        write_part(router_folder, name, tmp_path / name)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"part": "quality"}', b'{"part": "encoder"}'])
def test_what_is_no_part_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "part.json").write_bytes(content)
    with pytest.raises(BundleError, match="cannot load the part"):
        read_part(tmp_path)


def test_damaged_arrays_are_refused(router_folder, tmp_path):
    write_part(router_folder, "quality", tmp_path)
    (tmp_path / "arrays.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(BundleError, match="cannot load the part"):
        read_part(tmp_path)
