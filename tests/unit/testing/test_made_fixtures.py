"""What `made_once` keeps for all tests; run by itself, this file makes it, as `poe test` does while mypy runs."""

import sqlite3
from contextlib import closing

from beast_ml.bundle.manifest import verify
from beast_ml.cache.artefact import verify_cache
from beast_ml.testing.registry_fixtures import migrated_store, small_bundle  # noqa: F401 - fixtures, used by name
from beast_ml.testing.worlds import WORLD_MODELS


def test_routers_are_whole_and_of_their_candidates(router_folder, fitted, static_folder, small_bundle):  # noqa: F811
    assert verify(router_folder).models == verify(static_folder).models == fitted.models == WORLD_MODELS
    assert verify(router_folder).training_digest == fitted.training.digest()
    assert verify(small_bundle.folder).models == ("large", "small")


def test_caches_are_whole_and_one_has_a_verifier(trained_cache, verified_cache):
    assert verify_cache(trained_cache).verifier_hash is None
    assert verify_cache(verified_cache).verifier_hash is not None


def test_the_store_of_runs_has_tables_and_no_run(migrated_store):  # noqa: F811
    with closing(sqlite3.connect(migrated_store)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
