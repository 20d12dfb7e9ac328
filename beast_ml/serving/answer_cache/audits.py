"""A share of lookups is verified: the answer is made anew, and compared with what the cache would have given.

A lookup that is picked goes to a model like a miss, so that nobody waits for, or gets, an answer that is in doubt. Near
misses go there anyway. What comes of it moves the threshold, and so does that nothing came of it; see
`beast_ml.cache.verifier.online`, and beside it `picking`, for those that are not picked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

import msgspec

from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.verifier.picking import LookupPicker, Picked
from beast_ml.serving.answer_cache.judges import Doubt
from beast_ml.serving.answer_cache.semantic import Look, SemanticSearch
from beast_ml.serving.answer_cache.verdicts import Verdicts

__all__ = ["Audits", "Check"]


class Check(msgspec.Struct, frozen=True):
    """A lookup that is verified as soon as its new answer is there.

    Parameters
    ----------
    key
        Of the request.
    entry, score
        What the cache had for it.
    picked
        How it was picked.
    cache
        Digest of the trained cache that the score is of.
    """

    key: CacheKey
    entry: CacheEntry
    score: float
    picked: Picked
    cache: str


class Audits:
    """Picks lookups and verifies them.

    Parameters
    ----------
    search
        Is told what came of it.
    verdicts
        None: nothing is verified, and the threshold stays where labelled pairs have put it.
    share
        Probability with which a hit is verified; a near miss is with the same if that costs something, else always.
    draw
        Returns a number from 0 to 1.
    """

    def __init__(
        self,
        search: SemanticSearch,
        verdicts: Verdicts | None,
        share: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._search, self._verdicts, self._picker = search, verdicts, LookupPicker(share, draw)

    def pick(self, key: CacheKey, look: Look, models: Collection[str] | None = None) -> Check | None:
        """Return a lookup to be verified; None where it is not picked, which is counted.

        Once for each lookup that may be served a hit, or goes to a model. One whose text the judge may not see is
        evidence of nothing: it is not counted either.

        Parameters
        ----------
        key, look
            Of the request, and what the cache had for it.
        models
            That may see its text; None: all.
        """
        if self._verdicts is None or look.outcome not in ("searched", "gated"):
            return None
        if not self._verdicts.judge.may_see(models):
            return None
        best, free = look.best, self._verdicts.judge.is_free
        near = best is not None and best.score >= look.floor
        picked = self._picker.pick(key.partition, hits=look.hits, near=near, free=free)
        if picked is None or best is None:
            return None
        return Check(key, best.hit.entry, best.score, picked, self._search.client.cache)

    def answered(self, check: Check, fresh: bytes | None) -> None:
        """Have a lookup verified, now that its answer is there; None: there is none that could be compared."""
        assert self._verdicts is not None  # noqa: S101  it picked the lookup
        key, client = check.key, self._search.client

        async def told(wrong: bool | None) -> None:
            if client.cache != check.cache:  # its scores are another verifier's by now
                return
            await client.verified(
                key.partition,
                key.tenant_id,
                check.score,
                wrong=wrong,
                probability=check.picked.probability,
                unverified=check.picked.unverified,
            )

        if fresh is None:
            self._verdicts.lost("semantic", told)
        else:
            self._verdicts.ask("semantic", Doubt(key.tenant_id, key.text or "", fresh, check.entry.answer), told)
