import asyncio
import shutil

import msgspec
import pytest

from beast_ml.cache.artefact import verify_cache
from beast_ml.errors import BundleError, InputError
from beast_ml.serving.answer_cache.semantic_parts import SemanticParts
from beast_ml.serving.answer_cache.trained import TrainedCaches

pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(tmp_path, verified_cache):
    shutil.copytree(verified_cache, tmp_path / "bundle" / "cache")
    return tmp_path / "bundle"


@pytest.fixture
def other_bundle(tmp_path, verified_cache):
    """Return a bundle whose trained cache says another thing of itself."""
    folder = tmp_path / "other"
    shutil.copytree(verified_cache, folder / "cache")
    manifest = msgspec.structs.replace(verify_cache(folder / "cache"), headline={"gate/skipped": 0.75})
    (folder / "cache" / "manifest.json").write_bytes(manifest.encoded())
    return folder


def test_what_a_bundle_brings_is_in_use_and_outlives_it(bundle, tmp_path, verified_cache):
    caches = TrainedCaches(tmp_path / "state")
    digest = caches.install(bundle / "cache")
    assert digest == verify_cache(verified_cache).digest
    shutil.rmtree(bundle)
    assert verify_cache(caches.current).digest == digest
    assert caches.verifier(digest).verifier.vectors == verify_cache(verified_cache).encoder_hash
    assert TrainedCaches(tmp_path / "state").current.resolve().name == digest


def test_the_next_one_takes_over_and_only_the_one_before_is_kept(bundle, other_bundle, tmp_path):
    caches = TrainedCaches(tmp_path / "state")
    first, second = caches.install(bundle / "cache"), caches.install(other_bundle / "cache")
    assert first != second
    assert caches.current.resolve().name == second
    assert caches.verifier(first) is not None
    assert caches.install(bundle / "cache") == first
    assert caches.current.resolve().name == first


def test_a_damaged_one_changes_nothing(bundle, other_bundle, tmp_path):
    caches = TrainedCaches(tmp_path / "state")
    digest = caches.install(bundle / "cache")
    (other_bundle / "cache" / "minilm.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError, match="not what the manifest says"):
        caches.install(other_bundle / "cache")
    assert caches.current.resolve().name == digest
    assert [path.name for path in (tmp_path / "state" / "trained-caches").iterdir() if "incoming" in path.name] == []


def test_a_bundle_without_one_is_refused_unless_there_is_one_from_before(bundle, tmp_path):
    class Client:
        async def start(self):
            started.append(True)

    class Search:
        client = Client()

    started, caches = [], TrainedCaches(tmp_path / "state")
    parts = SemanticParts(Search(), None, caches)
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match=r"no trained cache in .*beast cache build"):
        asyncio.run(parts.start(tmp_path / "plain"))
    assert not started
    asyncio.run(parts.start(bundle))
    asyncio.run(parts.start(tmp_path / "plain"))
    assert len(started) == 2
    with pytest.raises(InputError, match=r"no trained cache in .*mistyped"):  # whatever there is from before
        asyncio.run(SemanticParts(Search(), None, caches, tmp_path / "mistyped").start(bundle))


def test_a_folder_of_its_own_stands_before_the_bundles(bundle, other_bundle, tmp_path):
    class Search:
        class client:  # noqa: N801
            @staticmethod
            async def start():
                pass

    async def run():
        parts = SemanticParts(Search, None, caches, other_bundle / "cache")
        await parts.start(bundle)
        parts.bundle_changed(bundle)

    caches = TrainedCaches(tmp_path / "state")
    asyncio.run(run())
    assert caches.current.resolve().name == verify_cache(other_bundle / "cache").digest
