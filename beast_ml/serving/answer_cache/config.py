"""What a worker is told of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from beast_ml.cache.lifetimes import Lifetimes
from beast_ml.cache.neighbours.command import Promise
from beast_ml.errors import InputError

__all__ = ["EQUAL", "AnswerCacheConfig", "CacheRegion", "Lives"]

EQUAL: Final = "equal"
"""The judge that wants the same words."""


@dataclass(frozen=True)
class Lives:
    """How long answers are kept, in seconds, whatever is asked of them meanwhile.

    Parameters
    ----------
    answer_s
        Answers, unless something else is said of their kind.
    kinds_s
        Answers to requests of a kind, as the router classifies them; 0: they are not kept.
    refusal_s, error_s
        What is no answer: so short that a mended request, or provider, is not waited for.
    learned
        Of kinds that are not in ``kinds_s``, none longer than ``answer_s``.
    """

    answer_s: float = 86_400.0
    kinds_s: Mapping[str, float] = field(default_factory=dict)
    refusal_s: float = 300.0
    error_s: float = 5.0
    learned: Lifetimes | None = None

    def __post_init__(self) -> None:
        named = {"answer_s": self.answer_s, "refusal_s": self.refusal_s, "error_s": self.error_s}
        for name, value in (named | dict(self.kinds_s)).items():
            if not 0.0 <= value <= 10 * 365 * 86_400.0:
                raise InputError(f"the life of `{name}` == {value} s, must be from 0 to ten years")

    def of(self, request_kind: str | None) -> float:
        """Return the life of an answer."""
        known = self.kinds_s.get(request_kind or "")
        if known is not None:
            return known
        return self.answer_s if self.learned is None else min(self.learned.ttl_s(request_kind), self.answer_s)


@dataclass(frozen=True)
class CacheRegion:
    """One of several regions that give each other their answers.

    Parameters
    ----------
    name
        Of this region.
    home_url
        Of the Valkey in the home region, over which they do, and where what is invalidated is known; it may hold a
        password.
    """

    name: str
    home_url: str = field(repr=False)


@dataclass(frozen=True)
class AnswerCacheConfig:
    """All that a worker is told of its cache; see `beast_ml.settings.CacheSettings`.

    Parameters
    ----------
    secret
        Key of the keys, at least 16 bytes, the same on all hosts that share tiers.
    state
        The worker's state folder: the last tier is in it, where no database is given.
    redis_url, database_url
        Of the second and of the last tier.
    region
        Of several that give each other their answers; None: what is kept here stays here.
    memory_bytes, memory_entries, memory_looked_at
        Bounds of each worker's own tier, and how many entries are compared to find the one that leaves it.
    tenant_bytes, tenant_entries
        Most that a tenant may keep in each shared tier.
    lives
        Of answers.
    per_user
        Whether users of a tenant are kept apart as tenants are.
    max_temperature
        Above it a request wants another answer each time.
    max_wait_s
        How long a request waits for an equal one that is being answered.
    semantic
        What answers to alike requests keep to; None: only equal ones hit.
    trained
        Folder of the trained cache; None: the one in the router's bundle.
    shared_vectors
        Whether hosts find each other's entries at once, in PostgreSQL with pgvector.
    judge
        What verifies cached answers by new ones: ``equal``, the name of a model, or nothing.
    age_share
        Share of equal requests' hits that are verified.
    warm_every_s, warm_usd
        Seconds between rounds of warming, 0: none; and what one may cost.
    """

    secret: bytes
    state: Path
    redis_url: str | None = None
    database_url: str | None = None
    region: CacheRegion | None = None
    memory_bytes: int = 256 << 20
    memory_entries: int = 50_000
    memory_looked_at: int = 8
    tenant_bytes: int = 1 << 30
    tenant_entries: int = 200_000
    lives: Lives = field(default_factory=Lives)
    per_user: bool = False
    max_temperature: float = 1.0
    max_wait_s: float = 30.0
    semantic: Promise | None = None
    trained: Path | None = None
    shared_vectors: bool = False
    judge: str | None = None
    age_share: float = 0.0
    warm_every_s: float = 0.0
    warm_usd: float = 1.0

    def __repr__(self) -> str:
        """Return it without its secret."""
        return f"AnswerCacheConfig(state={self.state}, lives={self.lives}, per_user={self.per_user})"
