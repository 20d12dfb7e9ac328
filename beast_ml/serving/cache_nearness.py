"""What of the cache's calls goes by how alike requests are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from beast_ml.cache.entry import CacheKey
from beast_ml.cache.hit import Hit
from beast_ml.cache.invalidation.bans import Vector
from beast_ml.errors import InputError, UnavailableError
from beast_ml.serving.services import Services

if TYPE_CHECKING:
    from beast_ml.serving.answer_cache.semantic_parts import SemanticParts

__all__ = ["alike_hit", "encoder_if_any", "forget_near", "vector_if_any"]

_MOST_NEAR: Final = 1000


async def alike_hit(services: Services, key: CacheKey) -> Hit | None:
    """Return the answer to an alike request. What becomes of a miss is not known here, so none of them is verified."""
    semantic = _semantic(services)
    if semantic is None or not services.log.keeps_texts(key.tenant_id):
        return None
    look = await semantic.search.look(key)
    return look.best.hit if look.best is not None and look.hits else None


async def _vector_of(services: Services, key: CacheKey) -> Vector:
    """Return the vector of a request.

    Raises
    ------
    InputError
        If the semantic cache is off, or the request has no words to compare.
    UnavailableError
        If the process that makes vectors is away.
    """
    semantic = _semantic(services)
    if semantic is None:
        raise InputError("this server compares no requests: the operator switches that on with `cache.semantic`")
    if key.text is None:
        raise InputError("this request has no words that are compared with others: only its own entry can be named")
    client = semantic.search.client
    encoder, vector = client.encoder, await client.vector(key.text)
    if vector is None or client.encoder != encoder:  # or it has just come back with another one
        raise UnavailableError("the process of the semantic cache does not answer: try again in a few seconds")
    return vector


async def vector_if_any(services: Services, key: CacheKey) -> Vector | None:
    """Return the vector of a request; None where requests are not compared, or this one has no words.

    Raises
    ------
    UnavailableError
        If the process that makes vectors is away.
    """
    return None if _semantic(services) is None or key.text is None else await _vector_of(services, key)


def encoder_if_any(services: Services) -> str:
    """Return the hash of the encoder that makes vectors; nothing where requests are not compared."""
    semantic = _semantic(services)
    return "" if semantic is None else semantic.search.client.encoder


async def forget_near(services: Services, key: CacheKey, radius: float) -> bool:
    """Make the answers to a request, and to those of its partition within a cosine distance, invalid.

    Returns
    -------
    more
        Whether more may be near than the 1,000 that are looked for: those no alike request gets any more, but equal
        ones do.

    Raises
    ------
    BeastError
        As `_vector_of`, or if the store of invalidations does not answer.
    """
    vector = await _vector_of(services, key)
    semantic = _semantic(services)
    assert semantic is not None  # noqa: S101  it has just made a vector
    assert services.cache is not None  # noqa: S101
    cache = services.cache.cache
    near = await semantic.search.client.lookup(key.partition, key.text or "", _MOST_NEAR, gated=False, within_s=5.0)
    if near.outcome != "searched":
        raise UnavailableError("the process of the semantic cache is busy: try again in a few seconds")
    found = [each.entry_id for each in near.neighbours if each.similarity >= 1.0 - radius]
    if (own := await cache.lookup(key)) is not None and own.entry.entry_id not in found:
        found.append(own.entry.entry_id)  # the index hears of what was just stored, or stored elsewhere, later
    await cache.at_store(
        lambda: cache.invalidator.invalidate_near(
            key.tenant_id, vector, radius, key.partition, lambda *_: found, semantic.search.client.encoder
        )
    )
    return len(near.neighbours) == _MOST_NEAR and near.neighbours[-1].similarity >= 1.0 - radius


def _semantic(services: Services) -> SemanticParts | None:
    return None if services.cache is None else services.cache.semantic
