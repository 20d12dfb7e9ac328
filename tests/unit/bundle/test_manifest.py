import os

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.bundle.manifest import FORMAT_VERSION, MANIFEST, file_sha256, verify
from beast_ml.errors import BundleError, BundleIntegrityError

STATIC_FILES = [
    "calibration.json",
    "encoder/table.safetensors",
    "encoder/tokenizer.json",
    "features.json",
    "heads.npz",
    "policy.json",
    MANIFEST,
]


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def rewrite(path, change):
    path.write_bytes(change(path.read_bytes()))


def test_a_bundle_is_these_files_and_verifies(static_folder, router_folder):
    assert files_of(static_folder) == sorted(STATIC_FILES)
    assert files_of(router_folder) == sorted(name for name in STATIC_FILES if not name.startswith("encoder"))
    manifest = verify(router_folder)
    assert manifest.models == ("large", "medium", "small")
    assert manifest.digest == file_sha256(router_folder / MANIFEST)
    assert manifest.headline == {"share_of_gap": 0.25}


@pytest.mark.parametrize("name", STATIC_FILES)
@pytest.mark.parametrize("where", [0.0, 0.31, 0.77, 1.0])
def test_one_flipped_byte_in_any_file_is_found(static_folder, name, where):
    path = static_folder / name
    content = path.read_bytes()
    position = int(where * (len(content) - 1))
    try:
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(BundleIntegrityError, match=path.name):
            verify(static_folder)
    finally:
        path.write_bytes(content)
    verify(static_folder)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_of_the_manifest_goes_unseen(copy, data):
    path = copy / MANIFEST
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    old = content[position]
    content[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != old))
    path.write_bytes(content)
    try:
        with pytest.raises(BundleIntegrityError):
            verify(copy)
    finally:
        content[position] = old
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["extra.txt", "encoder/table.safetensors", "encoder/__init__.py"])
def test_a_file_that_is_not_in_the_manifest_is_refused(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("surprise")
    with pytest.raises(BundleIntegrityError, match=f"{name} is not in the manifest"):
        verify(copy)


@pytest.mark.parametrize("name", [name for name in STATIC_FILES if name != MANIFEST])
def test_a_missing_file_is_found(static_folder, name):
    path = static_folder / name
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(BundleIntegrityError, match=f"{name} is missing"):
            verify(static_folder)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", "encoder/../../outside.txt", "heads.pkl"])
def test_paths_out_of_the_bundle_are_refused_before_they_are_read(copy, reseal, name):
    (copy.parent / "outside.txt").write_text("secret")
    reseal(copy, files=verify(copy).files | {name: "0" * 64})
    with pytest.raises(BundleIntegrityError, match=r"which is no part of a bundle; refusing all of it"):
        verify(copy)


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1])
def test_an_unknown_format_is_refused_and_says_so(copy, reseal, version):
    reseal(copy, format_version=version)
    with pytest.raises(BundleError, match=f"format version {version}, this beast-ml reads {FORMAT_VERSION}") as caught:
        verify(copy)
    assert not isinstance(caught.value, BundleIntegrityError)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"null", b"\xff\xfe", b'{"format_version": 1}'])
def test_what_is_no_manifest_is_refused(copy, content):
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(BundleIntegrityError):
        verify(copy)


def test_fields_of_another_kind_are_refused_however_well_sealed(copy):
    import hashlib

    fields = msgspec.json.decode((copy / MANIFEST).read_bytes()) | {"n_training_queries": "many"}
    del fields["sha256"]
    seal = hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
    sealed = msgspec.json.encode(fields | {"sha256": seal}, order="sorted")
    (copy / MANIFEST).write_bytes(msgspec.json.format(sealed, indent=2) + b"\n")
    with pytest.raises(BundleIntegrityError, match="n_training_queries"):
        verify(copy)


def test_whitespace_counts(copy):
    rewrite(copy / MANIFEST, lambda content: content + b"\n")
    with pytest.raises(BundleIntegrityError, match="not as it was written"):
        verify(copy)


def test_no_folder_is_no_bundle(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BundleError, match=f"no router bundle in {folder}"):
            verify(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_manifest_that_may_not_be_read_is_no_bundle(copy):
    (copy / MANIFEST).chmod(0)
    with pytest.raises(BundleError, match="Permission denied"):
        verify(copy)
