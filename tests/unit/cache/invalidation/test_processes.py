"""Several processes on one store that may be lost, against a model that knows when everything truly happened."""

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from beast_ml.cache.invalidation import invalidator as invalidator_module
from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.sql_store import TABLES, SqlInvalidations
from beast_ml.testing.invalidation_conformance import entry_for, key_for

PROCESSES = st.integers(0, 2)
TEXTS = st.sampled_from(["a", "b", "A"])
TENANTS = st.sampled_from(["t1", "t2"])
TAGS = st.sampled_from(["x", "y"])
VECTORS = {
    "a": np.eye(3, dtype=np.float32)[0],
    "b": np.eye(3, dtype=np.float32)[1],
    "A": np.eye(3, dtype=np.float32)[2],
}


def memory_store():
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection, _record):
        connection.isolation_level = None

    return SqlInvalidations(engine)


class Processes(RuleBasedStateMachine):
    """`made` holds entries, what their makers had heard, and after which loss of the store; `events` is in order."""

    def __init__(self):
        super().__init__()
        self.store = memory_store()
        self.processes = [Invalidator(self.store) for _ in range(3)]
        for process in self.processes:
            process.refresh()
        self.events = []  # functions of an entry: whether it is meant
        self.heard = [set() for _ in self.processes]
        self.made = []
        self.kept = set()  # those events that the store has not lost
        self.pairs_kept = set()  # (tenant, query text, source text)
        self.pairs_heard = [set() for _ in self.processes]
        self.losses = 0
        self.back = {0, 1, 2}  # the processes that came by since the last loss
        self.up_to_date = {0, 1, 2}  # and those that did so after the last of them came back

    def happened(self, process, hits):
        self.events.append(hits)
        self.kept.add(len(self.events) - 1)
        self.hear(process)

    def hear(self, process):
        """A process and the store tell each other what they know.

        What one knew before a loss happens again when it comes back, as the store cannot tell it from a change it
        lacks: entries made meanwhile may go for nothing.
        """
        if process not in self.back:
            brought = [self.events[i] for i in self.heard[process]]
            self.made = [
                (entry, heard, None if any(hits(entry) for hits in brought) else losses)
                for entry, heard, losses in self.made
            ]
            self.up_to_date = set()
        self.back.add(process)
        self.up_to_date.add(process)
        self.kept |= self.heard[process]
        self.heard[process] = set(self.kept)
        self.pairs_kept |= self.pairs_heard[process]
        self.pairs_heard[process] = set(self.pairs_kept)

    def untouched(self):
        """Entries that are valid for certain: since the last loss nothing happened to them that their makers did not
        know of."""
        return [
            entry
            for entry, heard, losses in self.made
            if losses == self.losses and not any(hits(entry) for i, hits in enumerate(self.events) if i not in heard)
        ]

    @rule(process=PROCESSES, text=TEXTS, tenant=TENANTS, tag=TAGS)
    def make(self, process, text, tenant, tag):
        key = key_for(text, tenant)
        entry = entry_for(key, self.processes[process].table.stamp(), f"e{len(self.made)}", tags=(tag,))
        self.made.append((entry, set(self.heard[process]), self.losses if process in self.up_to_date else None))

    @rule(process=PROCESSES)
    def refresh(self, process):
        self.processes[process].refresh()
        self.hear(process)

    @rule(process=PROCESSES, tag=TAGS, tenant=st.none() | TENANTS)
    def invalidate_tag(self, process, tag, tenant):
        self.processes[process].invalidate(Scope("tag", tag, tenant))
        self.happened(process, lambda e: tag in e.tags and tenant in (None, e.key.tenant_id))

    @rule(process=PROCESSES, tenant=TENANTS)
    def invalidate_tenant(self, process, tenant):
        self.processes[process].invalidate(Scope("tenant", tenant))
        self.happened(process, lambda e: e.key.tenant_id == tenant)

    @precondition(lambda self: self.made)
    @rule(process=PROCESSES, data=st.data())
    def invalidate_entry(self, process, data):
        chosen, *_ = data.draw(st.sampled_from(self.made))
        self.processes[process].invalidate(Scope("entry", chosen.entry_id))
        self.happened(process, lambda e: e.entry_id == chosen.entry_id)

    @rule(process=PROCESSES, text=TEXTS, tenant=TENANTS)
    def invalidate_near(self, process, text, tenant):
        self.processes[process].invalidate_near(tenant, VECTORS[text], 0.1)
        self.happened(process, lambda e: e.key.tenant_id == tenant and e.key.text == text)

    @precondition(lambda self: self.made)
    @rule(process=PROCESSES, query=TEXTS, data=st.data())
    def report_false_hit(self, process, query, data):
        entry, *_ = data.draw(st.sampled_from(self.made))
        tenant = entry.key.tenant_id
        self.processes[process].forbid(
            key_for(query, tenant), entry, "semantic", VECTORS[query], VECTORS[entry.key.text]
        )
        self.pairs_kept.add((tenant, query, entry.key.text))
        self.hear(process)

    @rule()
    def invalidate_everything(self):
        self.processes[0].invalidate(Scope("all"))
        self.happened(0, lambda e: True)

    @rule()
    def lose_the_store(self):
        """All is gone; each process gives back what it knows when it next comes by."""
        with self.store._engine.begin() as connection:
            for table in TABLES.sorted_tables:
                connection.execute(table.delete())
        self.losses += 1
        self.back, self.up_to_date = set(), set()
        self.kept, self.pairs_kept = set(), set()

    @invariant()
    def nothing_invalidated_is_served_by_who_heard_of_it(self):
        for entry, heard_by_maker, _ in self.made:
            for heard, process in zip(self.heard, self.processes, strict=True):
                if any(self.events[i](entry) for i in heard - heard_by_maker):
                    assert not process.table.holds(entry, VECTORS[entry.key.text])

    @invariant()
    def what_nobody_invalidated_is_served(self):
        if self.untouched():
            self.processes[0].refresh()
            self.hear(0)
        for entry in self.untouched():
            assert self.processes[0].table.holds(entry, VECTORS[entry.key.text])

    @invariant()
    def no_reported_pair_hits_and_true_requests_do(self):
        for pairs, process in zip(self.pairs_heard, self.processes, strict=True):
            for tenant, query, source in pairs:
                new = entry_for(key_for(source, tenant), process.table.stamp())
                vectors = VECTORS[query], VECTORS[source]
                assert not process.table.allows(key_for(query, tenant), new, "semantic", *vectors)
                assert process.table.allows(key_for(source, tenant), new, "exact", *vectors)


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@pytest.fixture
def process():
    process = Invalidator(memory_store())
    process.refresh()
    return process


def test_before_anything_is_known_nothing_holds():
    process = Invalidator(memory_store())
    assert not process.table.holds(entry_for(key_for("a"), 0))
    process.refresh()
    assert not process.table.holds(entry_for(key_for("a"), 0))  # never stamped, so older than everything


def test_an_entry_of_who_knows_more_waits_until_that_is_known(process):
    other = Invalidator(process._store)
    other.invalidate(Scope("tag", "x"))
    entry = entry_for(key_for("a"), other.table.stamp())
    assert not process.table.holds(entry)
    process.refresh()
    assert process.table.holds(entry)


def test_too_many_neighbourhoods_invalidate_the_tenant(process, monkeypatch):
    monkeypatch.setattr(invalidator_module, "MAX_RADIUS_BANS", 3)
    far = entry_for(key_for("b"), process.table.stamp())
    for _ in range(3):
        process.invalidate_near("acme", VECTORS["a"], 0.1 + len(process.table.radius_bans("acme")) / 100)
        assert process.table.holds(far, VECTORS["b"])
    process.invalidate_near("acme", VECTORS["a"], 0.5)
    assert not process.table.holds(far, VECTORS["b"])
    assert process.table.radius_bans("acme") == []
    assert process._store.read().bans == {}
    assert process.table.record().bans == {}


def test_another_tenants_entries_are_never_allowed(process):
    entry = entry_for(key_for("a"), process.table.stamp())
    assert process.table.allows(key_for("a"), entry, "exact")
    assert not process.table.allows(key_for("a", tenant_id="other"), entry, "exact")


def test_an_exact_false_hit_invalidates_the_entry_and_only_it(process):
    wrong, right = (entry_for(key_for("a"), process.table.stamp(), entry_id) for entry_id in ("wrong", "right"))
    process.forbid(key_for("a"), wrong, "exact")
    assert not process.table.allows(key_for("a"), wrong, "exact")
    assert process.table.allows(key_for("a"), right, "exact")


def test_memory_does_not_grow_past_the_floor(process):
    small = Invalidator(SqlInvalidations(process._store._engine, max_scopes=10))
    for i in range(60):
        small.invalidate(Scope("entry", f"e{i}"))
    assert len(small.table.record().epochs) <= 10
    assert len(small.table._epochs) <= 10
