# ruff: noqa: S101, S311 - these are tests, which subclasses in tests/ run, with nothing secret
"""What every cache tier must do; inherit `TierConformance` and give it a fixture ``make_tier``.

class TestMyTier(TierConformance):
    @pytest.fixture
    def make_tier(self):
        return lambda clock, **bounds: MyTier(clock=clock, **bounds)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from beast_ml.cache.tiers.contract import Tier
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.tier_machine import TierMachine

__all__ = ["START", "MakeTier", "TierConformance"]

START = float(int(time.time())) + 86_400.0
"""A day ahead: a server goes by its own clock, and a run of many tests may take hours after this was read."""


class MakeTier(Protocol):
    """Makes an empty tier; what an earlier one of the same test holds is deleted."""

    def __call__(
        self, clock: Callable[[], float], *, max_entries: int | None = None, max_bytes: int | None = None
    ) -> Tier:
        """Return it, with these bounds for each tenant; None: wide ones."""
        ...


class _Now:
    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> float:
        return self.seconds


class TierConformance:
    """The behaviour that the hierarchy relies on.

    Parameters
    ----------
    n_examples, n_lookups
        How often properties are tried.
    """

    n_examples: ClassVar[int] = 40
    n_lookups: ClassVar[int] = 2000

    @pytest.fixture
    def now(self) -> _Now:
        """Return a clock that stands still until it is moved."""
        return _Now()

    @pytest.fixture
    def tier(self, make_tier: MakeTier, now: _Now) -> Tier:
        """Return an empty tier with room."""
        return make_tier(now)

    def test_behaves_as_a_dict_with_expiry(self, make_tier: MakeTier) -> None:
        """Whatever is done, in whatever order."""

        class Machine(TierMachine):
            def make_tier(self) -> Tier:
                return make_tier(lambda: self.now)

        slow_is_fine = list(HealthCheck)
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=self.n_examples,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=slow_is_fine,
            ),
        )

    def test_an_empty_tier_has_nothing(self, tier: Tier) -> None:
        """Not even an error."""
        tier.put_many([])
        assert (tier.get_many([]), tier.by_id([]), tier.remove([]), list(tier.scan()), tier.usage()) == (
            {},
            {},
            0,
            [],
            {},
        )
        assert (tier.get_many([b"k"]), tier.by_id(["i"]), tier.remove(["i"])) == ({}, {}, 0)

    def test_entries_of_any_content_come_back_as_they_were(self, tier: Tier) -> None:
        """Whatever bytes and characters; short, long, and not to be compressed."""
        answers = [
            b"",
            b"\0",
            bytes(range(256)) * 4,
            b"a" * 1_000_000,
            Random(0).randbytes(300_000),
            "déjà vu 𝄞".encode(),
        ]
        entries = [
            cache_entry(
                f"id {n} ✓",
                cache_key("acme: {x} é", f"request {n}"),
                START + n / 7,
                answer=answer,
                tags=("a", "", "ü"),
                documents=("doc\n",),
                request_kind=None if n % 2 else "code",
                cost_usd=0.1 * n,
                latency_s=1e-9,
            )
            for n, answer in enumerate(answers)
        ]
        tier.put_many(entries)
        assert tier.get_many([entry.key.exact for entry in entries]) == {entry.key.exact: entry for entry in entries}
        assert list(tier.scan("acme: {x} é")) == entries

    def test_no_answer_crosses_from_tenant_to_tenant(self, tier: Tier) -> None:
        """Both ask the same, time and again, and replace what the other has."""
        tenants, rng, n_found = ("acme", "acme:x"), Random(1), 0
        for start in range(0, self.n_lookups, 20):
            batch = []
            for n in range(start, start + 4):
                tenant = rng.choice(tenants)
                key = cache_key(tenant, f"request {rng.randrange(40)}", f"normal {rng.randrange(20)}")
                batch.append(cache_entry(f"{tenant} {rng.randrange(60)}", key, START + n, answer=tenant.encode()))
            tier.put_many(batch)
            for tenant in rng.choices(tenants, k=10):
                key = cache_key(tenant, f"request {rng.randrange(40)}", f"normal {rng.randrange(20)}")
                found = tier.get_many([key.exact, key.normalised])
                n_found += len(found)
                assert all(e.key.tenant_id == tenant and e.answer == tenant.encode() for e in found.values())
        assert n_found > self.n_lookups / 10
        assert {entry.key.tenant_id for entry in tier.scan("acme")} == {"acme"}

    def test_of_two_under_one_key_the_younger_is_found_whichever_came_first(self, tier: Tier) -> None:
        """Late writes change nothing."""
        key = cache_key()
        old, young = cache_entry("old", key, START), cache_entry("young", key, START + 1)
        tier.put_many([young])
        tier.put_many([old])
        assert tier.get_many([key.exact]) == {key.exact: young}
        assert tier.by_id(["old", "young"]) == {"young": young}
        assert tier.usage()["acme"][0] == 1

    def test_what_has_expired_is_never_returned(self, tier: Tier, now: _Now) -> None:
        """To the last moment it is, and not at it; reading prolongs nothing."""
        key = cache_key()
        entry = cache_entry("one", key, START, life_s=600.0)
        tier.put_many([entry])
        now.seconds = START + 599.999
        assert tier.get_many([key.exact]) == {key.exact: entry}
        now.seconds = START + 600.0
        assert (tier.get_many([key.exact, key.normalised]), tier.by_id(["one"]), list(tier.scan())) == ({}, {}, [])
        assert (tier.remove(["one"]), tier.usage()) == (0, {})

    def test_a_tenant_keeps_no_more_entries_than_it_may_and_takes_none_from_another(
        self, make_tier: MakeTier, now: _Now
    ) -> None:
        """Whether they come one by one or all at once."""
        tier = make_tier(now, max_entries=20)
        quiet = [cache_entry(f"quiet {n}", cache_key("quiet", f"{n}"), START) for n in range(10)]
        tier.put_many(quiet)
        loud = [cache_entry(f"loud {n:03d}", cache_key("loud", f"{n}"), START + n, cost_usd=1.0) for n in range(200)]
        for entry in loud[:100]:
            tier.put_many([entry])
        tier.put_many(loud[100:])
        usage = tier.usage()
        assert usage["loud"][0] <= 20 == 2 * usage["quiet"][0]
        assert len(list(tier.scan("loud"))) == usage["loud"][0]
        assert tier.by_id([entry.entry_id for entry in quiet]) == {entry.entry_id: entry for entry in quiet}

    def test_a_tenant_keeps_no_more_bytes_than_it_may(self, make_tier: MakeTier, now: _Now) -> None:
        """One that is too large by itself is not kept, and drives nothing out."""
        tier, rng = make_tier(now, max_bytes=100_000), Random(2)
        entries = [
            cache_entry(f"{n}", cache_key("acme", f"{n}"), START + n, answer=rng.randbytes(rng.randrange(20_000)))
            for n in range(60)
        ]
        for entry in entries:
            tier.put_many([entry])
            assert tier.usage()["acme"][1] <= 100_000
        before = tier.usage()
        tier.put_many([cache_entry("huge", cache_key("acme", "huge"), START, answer=rng.randbytes(100_001))])
        assert tier.by_id(["huge"]) == {}
        assert tier.usage() == before
        assert before["acme"][0] >= 3

    def test_a_large_batch_is_kept_whole(self, tier: Tier) -> None:
        """Larger than what one statement takes."""
        entries = [cache_entry(f"{n:04d}", cache_key("acme", f"{n}"), START + n) for n in range(1200)]
        tier.put_many(entries)
        assert len(tier.get_many([entry.key.exact for entry in entries])) == 1200
        assert list(tier.scan()) == entries
        assert tier.remove([entry.entry_id for entry in entries]) == 1200
        assert tier.usage() == {}

    def test_many_threads_may_use_it_at_once(self, tier: Tier) -> None:
        """Nothing is raised, what is found is right, and the books are."""

        def work(seed: int) -> None:
            rng = Random(seed)
            for n in range(60):
                key = cache_key(f"tenant {rng.randrange(2)}", f"{rng.randrange(30)}", f"{rng.randrange(10)}")
                entry_id = f"{key.tenant_id} {rng.randrange(40)}"
                tier.put_many([cache_entry(entry_id, key, START + rng.randrange(100), answer=key.exact)])
                for digest, entry in tier.get_many([key.exact, key.normalised]).items():
                    assert digest in (entry.key.exact, entry.key.normalised)
                    assert entry.answer == entry.key.exact
                if n % 5 == 0:
                    tier.remove([entry_id])

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        found = list(tier.scan())
        assert len({entry.key.exact for entry in found}) == len(found) > 0
        for tenant, (n, _) in tier.usage().items():
            assert n == sum(entry.key.tenant_id == tenant for entry in found)
