from datetime import UTC, datetime

import pytest

from beast_ml.registry.bundle_pointer import BundlePointer, read_pointer, write_pointer

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
POINTER = BundlePointer("models:/beast-router@champion", "/bundles/abc", 3, "abc", NOW, NOW, NOW)


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_written_is_read(tmp_path, durable):
    file = tmp_path / "state" / "bundle.json"
    write_pointer(file, POINTER, durable=durable)
    assert read_pointer(file) == POINTER
    assert [path.name for path in file.parent.iterdir()] == ["bundle.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"uri": 1}', b'{"path": "x"}', b"\xff\xfe", None])
def test_what_is_no_pointer_is_none(tmp_path, content):
    file = tmp_path / "bundle.json"
    if content is not None:
        file.write_bytes(content)
    assert read_pointer(file) is None


def test_one_that_cannot_be_replaced_leaves_no_litter(tmp_path):
    (tmp_path / "bundle.json").mkdir()
    with pytest.raises(OSError, match="irectory"):
        write_pointer(tmp_path / "bundle.json", POINTER)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.json"]
