"""Which answers are given again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from beast_ml.settings.part import Part

__all__ = ["CacheSettings"]


class CacheSettings(Part):
    """Which answers `beast serve` gives again, and for how long; off unless it is switched on.

    Parameters
    ----------
    enabled
        Whether there is a cache.
    secret
        Key of its keys, at least 16 random bytes, the same on all hosts that share tiers: ``BEAST_CACHE__SECRET``.
        There is no default, for whoever knows it can try prompts against keys.
    life_s, lives_s
        Seconds that an answer is kept, and the same for single kinds of request.
    refusal_life_s, error_life_s
        Seconds that refusals, and errors that are the request's own fault, are kept; 0: not at all.
    memory_mb, memory_entries
        Bounds of the first tier, of each worker.
    memory_looked_at
        Entries that are compared to find the one of least value, which leaves when that is full.
    tenant_mb, tenant_entries
        Most that one tenant may keep in each shared tier: Valkey where ``redis_url`` is set, and PostgreSQL where
        ``database_url`` is, else a SQLite file in the state folder.
    per_user
        Keep the users of a tenant apart, as tenants are.
    max_temperature
        Requests with a higher one want another answer each time.
    max_wait_s
        Seconds that a request waits for the answer to an equal one that came before it.
    semantic
        Whether alike requests may get each other's answers, too.
    trained
        Folder of the trained cache that this takes, as `beast cache build` writes it; None: the one in the router's
        bundle.
    shared_vectors
        Whether hosts that share ``database_url``, a PostgreSQL with pgvector, find each other's entries at once, and
        not when the index is rebuilt; each miss then takes the encoder and a query.
    epsilon, delta
        Wrong semantic hits over lookups, at most, with confidence 1 - delta.
    judge
        What verifies cached answers by new ones: ``equal`` (the same words), or the name of a model that has an
        endpoint. None: nothing does, and the threshold stays where labelled pairs have put it.
    audit_share
        Share of semantic hits that are verified, each at the price of an answer.
    age_share
        Share of equal requests' hits that are verified, too: what `beast cache lives` learns lives from.
    warm_every_s, warm_usd
        Seconds between rounds in which what is likely to be asked is answered in advance, 0: none; and what a round may
        cost. One goes at once where the last tier has lost all.
    regions
        Whether regions give each other their answers, over the home region's Valkey, and know of each other's
        invalidations; False: each has a cache of its own.
    lifetimes
        File of lives by kind of request, as `beast cache lives` writes it, for kinds that are not in ``lives_s``; none
        longer than ``life_s``.
    """

    enabled: bool = False
    secret: SecretStr | None = Field(None, min_length=16)
    life_s: float = Field(86_400.0, ge=0, allow_inf_nan=False)
    lives_s: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    refusal_life_s: float = Field(300.0, ge=0, allow_inf_nan=False)
    error_life_s: float = Field(5.0, ge=0, allow_inf_nan=False)
    memory_mb: int = Field(256, ge=1)
    memory_entries: int = Field(50_000, ge=1)
    memory_looked_at: int = Field(8, ge=1, le=1000)
    tenant_mb: int = Field(1024, ge=1)
    tenant_entries: int = Field(200_000, ge=1)
    per_user: bool = False
    max_temperature: float = Field(1.0, ge=0, allow_inf_nan=False)
    max_wait_s: float = Field(30.0, gt=0, allow_inf_nan=False)
    semantic: bool = False
    trained: Path | None = None
    shared_vectors: bool = False
    epsilon: float = Field(0.01, gt=0, lt=1)
    delta: float = Field(0.02, gt=0, lt=1)
    judge: str | None = Field(None, min_length=1)
    audit_share: float = Field(0.05, gt=0, le=1)
    age_share: float = Field(0.0, ge=0, le=1)
    warm_every_s: float = Field(0.0, ge=0, allow_inf_nan=False)
    warm_usd: float = Field(1.0, ge=0, allow_inf_nan=False)
    regions: bool = False
    lifetimes: Path | None = None
