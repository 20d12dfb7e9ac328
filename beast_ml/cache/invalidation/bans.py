"""What may not be served although it is alike: false hits that users reported, and whole neighbourhoods.

A scope makes entries invalid once; a ban also holds for entries made later. It names texts and vectors, not entries,
so that it survives their eviction, their re-creation and a change of everything else in their keys.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.entry import CacheEntry, CacheKey, HitKind
from beast_ml.errors import InputError

__all__ = ["NEAR", "Ban", "FalseHit", "RadiusBan", "Vector", "false_hit", "none_alike", "radius_ban", "request_names"]

Vector = NDArray[np.float32]
"""Of a request, as the encoder gives it."""

NEAR: Final = 0.03
"""Cosine distance within which a request counts as the reported one, said in other words."""

_UNIT: Final = 1e-3
_WIDEST: Final = 0.9


class RadiusBan(msgspec.Struct, frozen=True, kw_only=True, tag="radius"):
    """Entries whose requests are near a vector are invalid, if they are older than the ban.

    Parameters
    ----------
    tenant_id
        Whose entries.
    partition
        Only those of this partition; None means all of the tenant's.
    vector
        (d,) unit vector, as float32 bytes.
    radius
        Cosine distance up to which an entry is near.
    encoder
        Hash of the encoder that made the vector.
    """

    tenant_id: str
    partition: bytes | None
    vector: bytes
    radius: float
    encoder: str = ""

    @property
    def ban_id(self) -> str:
        """Return the same name for the same ban."""
        return _digest(
            b"radius",
            self.tenant_id.encode(),
            self.partition or b"",
            self.vector,
            repr(self.radius).encode(),
            self.encoder.encode(),
        )


class FalseHit(msgspec.Struct, frozen=True, kw_only=True, tag="false_hit"):
    """A pair of requests of which the second one's answer is wrong for the first; or any other one's answer.

    Parameters
    ----------
    tenant_id
        Who said so; holds in all partitions of that tenant, since a new system prompt or policy brings the pair back
        in another one.
    query, source
        Names of the two requests, see `request_names`. Without a source no other request's answer is served to it.
    query_class
        What the two have in common if the hit was a normalised one: no other request of it gets the answer to another
        one of it again.
    query_vector, source_vector
        (d,) unit vectors, as float32 bytes; empty where the hit was not semantic, the second one without a source.
    radius
        Cosine distance up to which another request counts as one of the two.
    encoder
        Hash of the encoder that made the vectors.
    """

    tenant_id: str
    query: tuple[bytes, ...]
    source: tuple[bytes, ...]
    query_class: bytes | None = None
    query_vector: bytes = b""
    source_vector: bytes = b""
    radius: float = NEAR
    encoder: str = ""

    @property
    def ban_id(self) -> str:
        """Return the same name for the same pair, however often it is reported."""
        return _digest(b"false_hit", self.tenant_id.encode(), *self.query, b"", *self.source)


Ban = RadiusBan | FalseHit
"""What may no longer be answered from the cache."""


def request_names(key: CacheKey) -> tuple[bytes, ...]:
    """Return what a request is recognised by: its exact key, and its text whatever else is in the key."""
    if key.text is None:
        return (b"x" + key.exact,)
    return b"x" + key.exact, b"t" + blake2b(key.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def false_hit(
    query: CacheKey,
    entry: CacheEntry,
    hit: HitKind,
    query_vector: Vector | None = None,
    source_vector: Vector | None = None,
    radius: float = NEAR,
    encoder: str = "",
) -> FalseHit:
    """Return the ban of an entry for a request that it was served to.

    Parameters
    ----------
    query
        Key of the request.
    entry
        What was served, of the same tenant.
    hit
        How it was found; not ``exact``: then the answer itself is wrong, and the entry is to be invalidated.
    query_vector, source_vector
        (d,) unit vectors of the two, where they are known.
    radius
        Cosine distance up to which other requests count as one of the two.
    encoder
        Hash of the encoder that made the vectors.

    Raises
    ------
    InputError
        If the hit was exact or crossed tenants, the radius is not in [0, 0.9], or a vector is not a unit vector.
    """
    if hit == "exact":
        raise InputError("the hit was exact, so the answer itself is wrong: invalidate the entry by its id")
    if query.tenant_id != entry.key.tenant_id:
        raise InputError("the request and the entry are of different tenants: report the hit of one's own request")
    given = query_vector is not None and source_vector is not None
    return FalseHit(
        tenant_id=query.tenant_id,
        query=request_names(query),
        source=request_names(entry.key),
        query_class=query.normalised if hit == "normalised" else None,
        query_vector=_stored(query_vector) if query_vector is not None and given else b"",
        source_vector=_stored(source_vector) if source_vector is not None and given else b"",
        radius=_checked(radius),
        encoder=encoder if given else "",
    )


def none_alike(
    query: CacheKey, query_vector: Vector | None = None, radius: float = NEAR, encoder: str = ""
) -> FalseHit:
    """Return the ban of all answers to other requests for one that got a wrong one of which nothing is known any more.

    Parameters as in `false_hit`; raises InputError if the radius is not in [0, 0.9], or the vector is no unit vector.
    """
    return FalseHit(
        tenant_id=query.tenant_id,
        query=request_names(query),
        source=(),
        query_vector=b"" if query_vector is None else _stored(query_vector),
        radius=_checked(radius),
        encoder="" if query_vector is None else encoder,
    )


def radius_ban(
    tenant_id: str, vector: Vector, radius: float, partition: bytes | None = None, encoder: str = ""
) -> RadiusBan:
    """Return the ban of what is near a vector.

    Raises
    ------
    InputError
        If the radius is not in [0, 0.9] or the vector is not a unit vector.
    """
    return RadiusBan(
        tenant_id=tenant_id,
        partition=partition,
        vector=_stored(vector),
        radius=_checked(radius),
        encoder=encoder,
    )


def _checked(radius: float) -> float:
    if not 0.0 <= radius <= _WIDEST:
        raise InputError(f"`radius` == {radius}, must be a cosine distance of 0 to {_WIDEST}")
    return float(radius)


def _stored(vector: Vector) -> bytes:
    flat = np.asarray(vector, dtype=np.float32)
    if flat.ndim != 1 or not abs(float(np.linalg.norm(flat)) - 1.0) < _UNIT:
        raise InputError(f"a vector of shape {flat.shape} is no unit vector: give the (d,) normalised embedding")
    return flat.tobytes()


def _digest(*parts: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()
