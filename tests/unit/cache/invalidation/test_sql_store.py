import pytest

from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.cache.invalidation.store import Position, Record
from beast_ml.errors import InputError, UnavailableError
from beast_ml.testing.invalidation_conformance import InvalidationStoreContract


@pytest.fixture
def store(tmp_path):
    store = SqlInvalidations.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield store
    store.close()


@pytest.fixture
def small_store(store):
    return SqlInvalidations(store._engine, max_scopes=10)


class TestSqlite(InvalidationStoreContract):
    pass


def whole(record):
    return lambda: record


def test_a_copy_follows_its_original(store):
    first = Record(Position(5, 2), 0, {"a": 2})
    store.mirror(Position(), first, whole(first))
    assert store.read() == first
    news = Record(Position(5, 4), 0, {"b": 4})
    store.mirror(first.position, news, lambda: pytest.fail("it needs only the news"))
    assert store.read() == Record(Position(5, 4), 0, {"a": 2, "b": 4})


def test_a_copy_that_missed_something_is_made_anew(store):
    first = Record(Position(5, 2), 0, {"a": 2})
    store.mirror(Position(), first, whole(first))
    everything = Record(Position(5, 9), 1, {"a": 2, "b": 4, "c": 9})
    store.mirror(Position(5, 8), Record(Position(5, 9), 1, {"c": 9}), whole(everything))
    assert store.read() == everything


def test_a_copy_does_not_go_back(store):
    first = Record(Position(5, 9), 0, {"a": 9})
    store.mirror(Position(), first, whole(first))
    late = Record(Position(5, 3), 0, {"a": 3})
    store.mirror(Position(), late, whole(late))
    assert store.read() == first


def test_says_what_is_wrong_with_an_address():
    with pytest.raises(InputError, match="no address"):
        SqlInvalidations.open("nowhere")
    with pytest.raises(InputError, match="must be sqlite or postgresql"):
        SqlInvalidations.open("mysql://root@host/db")


def test_a_file_that_cannot_be_opened_is_away(tmp_path):
    store = SqlInvalidations.open(f"sqlite:///{tmp_path / 'none' / 'state.db'}")
    with pytest.raises(UnavailableError, match="does not answer"):
        store.position()
