"""An index on disk: whole and hash-checked, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from safetensors.numpy import load, save

from beast_ml.cache.index.index import FLAT_UP_TO, PartitionedIndex
from beast_ml.cache.index.partition import PartitionContent
from beast_ml.durable import write_durably
from beast_ml.errors import DataError

__all__ = ["read_index", "write_index"]

_FORMAT: Final = 1


class _Contents(msgspec.Struct, forbid_unknown_fields=True):
    """What comes first in the file; the arrays of all partitions follow, one after the other."""

    format: int
    encoders: tuple[str, str]
    partitions: list[bytes]
    ids: list[list[str]]
    has_static: list[bool]
    arrays_sha256: bytes


def write_index(index: PartitionedIndex, encoders: tuple[str, str], path: Path) -> int:
    """Write an index into a file, in place of the one that is there, and return its bytes.

    Parameters
    ----------
    index
        May be in use meanwhile.
    encoders
        Hashes of the static and of the sentence encoder.
    path
        The file; a crash leaves the earlier one.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    contents = index.contents()
    small = [content for content in contents.values() if content.static is not None]
    arrays = {
        "texts": _stacked([content.texts for content in contents.values()], np.uint8),
        "vectors": _stacked([content.vectors for content in contents.values()], np.float16),
        "static": _stacked([content.static for content in small], np.float16),
    }
    body = save(arrays)
    head = msgspec.msgpack.encode(
        _Contents(
            format=_FORMAT,
            encoders=encoders,
            partitions=list(contents),
            ids=[list(content.ids) for content in contents.values()],
            has_static=[content.static is not None for content in contents.values()],
            arrays_sha256=hashlib.sha256(body).digest(),
        )
    )
    parts = (hashlib.sha256(head).digest(), len(head).to_bytes(8), head, body)
    write_durably(path, *parts)
    return sum(len(part) for part in parts)


def read_index(
    path: Path, encoders: tuple[str, str], static_dim: int, dim: int, flat_up_to: int = FLAT_UP_TO
) -> PartitionedIndex:
    """Return the index in a file that `write_index` wrote.

    Raises
    ------
    DataError
        If there is none, it is damaged, or its vectors are another encoder's.
    """
    try:
        raw = path.read_bytes()
        size = int.from_bytes(raw[32:40])
        head, body = raw[40 : 40 + size], raw[40 + size :]
        if hashlib.sha256(head).digest() != raw[:32]:
            raise DataError(f"{path} is not as it was written: delete it, the index is rebuilt from the entries")
        stored = msgspec.msgpack.decode(head, type=_Contents)
        if stored.format != _FORMAT or stored.encoders != encoders:
            raise DataError(f"{path} is of another encoder or version: the index is rebuilt from the entries")
        if hashlib.sha256(body).digest() != stored.arrays_sha256:
            raise DataError(f"{path} is not as it was written: delete it, the index is rebuilt from the entries")
        contents = _contents(stored, load(body))
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"no index of the cache in {path}: {error}") from error
    return PartitionedIndex.of(contents, static_dim, dim, flat_up_to)


def _contents(stored: _Contents, arrays: dict[str, Any]) -> dict[bytes, PartitionContent]:
    contents: dict[bytes, PartitionContent] = {}
    row = static_row = 0
    for key, ids, has_static in zip(stored.partitions, stored.ids, stored.has_static, strict=True):
        here = slice(row, row + len(ids))
        static = arrays["static"][static_row : static_row + len(ids)] if has_static else None
        contents[key] = PartitionContent(tuple(ids), arrays["texts"][here], static, arrays["vectors"][here])
        row += len(ids)
        static_row += len(ids) if has_static else 0
    return contents


def _stacked(arrays: list[Any], dtype: Any) -> Any:
    return np.ascontiguousarray(np.concatenate(arrays)) if arrays else np.zeros((0, 0), dtype=dtype)
