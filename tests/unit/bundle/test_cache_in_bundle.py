import shutil

import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import read_bundle
from beast_ml.bundle.write import always_single, with_cache
from beast_ml.cache.artefact import verify_cache
from beast_ml.errors import BundleError, BundleIntegrityError


@pytest.fixture
def bundle(router_folder, trained_cache, tmp_path):
    with_cache(router_folder, trained_cache, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_with_a_cache_routes_as_before_and_its_copies_keep_the_cache(
    bundle,
    router_folder,
    trained_cache,
    tmp_path,
):
    manifest = verify(bundle)
    assert manifest.has_cache
    assert verify_cache(bundle / "cache") == verify_cache(trained_cache)
    assert read_bundle(bundle).policy == read_bundle(router_folder).policy
    assert always_single(bundle, manifest.models[0], tmp_path / "single").has_cache
    again = with_cache(bundle, trained_cache, tmp_path / "again")
    assert again.files == manifest.files


def test_a_cache_in_a_bundle_is_verified_with_it(bundle):
    raw = bytearray((bundle / "cache" / "minilm.onnx").read_bytes())
    raw[1000] ^= 1
    (bundle / "cache" / "minilm.onnx").write_bytes(raw)
    with pytest.raises(BundleIntegrityError, match=r"minilm\.onnx"):
        verify(bundle)


def test_what_is_no_cache_is_not_put_into_a_bundle(router_folder, trained_cache, tmp_path):
    with pytest.raises(BundleError, match="no trained cache"):
        with_cache(router_folder, router_folder, tmp_path / "bundle")
    damaged = shutil.copytree(trained_cache, tmp_path / "damaged")
    (damaged / "evil.py").write_text("")
    with pytest.raises(BundleIntegrityError):
        with_cache(router_folder, damaged, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
