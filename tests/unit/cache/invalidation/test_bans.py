import numpy as np
import pytest

from beast_ml.cache.invalidation import near_bans
from beast_ml.cache.invalidation.bans import false_hit, none_alike, radius_ban
from beast_ml.cache.invalidation.near_bans import FalseHits, RadiusBans
from beast_ml.errors import InputError
from beast_ml.testing.invalidation_conformance import entry_for, key_for

ENABLE, DISABLE = key_for("enable 2FA"), key_for("disable 2FA")


def unit(*values):
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def at_distance(vector, distance, towards):
    """Return a unit vector at a cosine distance from another one, in the direction of a third."""
    across = towards - (towards @ vector) * vector
    across /= np.linalg.norm(across)
    cosine = 1.0 - distance
    return (cosine * vector + np.sqrt(1.0 - cosine**2) * across).astype(np.float32)


Q, S = unit(1.0, 0.2, 0.0, 0.0), unit(1.0, -0.5, 0.0, 0.0)
ASIDE = unit(0.0, 0.0, 1.0, 0.0)


@pytest.fixture
def reported():
    hits = FalseHits()
    hits.add(false_hit(ENABLE, entry_for(DISABLE, 0), "semantic", Q, S))
    return hits


def test_a_reported_pair_never_hits_again(reported):
    assert reported.forbid(ENABLE, entry_for(DISABLE, 0), "semantic", Q, S)
    assert reported.forbid(ENABLE, entry_for(DISABLE, 99, "made again"), "semantic", None, None)


def test_nor_under_another_system_prompt_or_policy(reported):
    query, source = (key_for(key.text, partition=b"other") for key in (ENABLE, DISABLE))
    assert reported.forbid(query, entry_for(source, 0), "semantic", Q, S)


def test_nor_for_the_query_in_other_words(reported):
    said, other = key_for("please enable 2FA"), key_for("turn on 2FA")
    assert reported.forbid(said, entry_for(DISABLE, 0), "semantic", at_distance(Q, 0.02, ASIDE), S)
    assert reported.forbid(said, entry_for(DISABLE, 0), "semantic", at_distance(Q, 0.02, S), S)
    assert not reported.forbid(other, entry_for(DISABLE, 0), "semantic", at_distance(Q, 0.05, ASIDE), S)


def test_nor_with_the_source_in_other_words(reported):
    said = entry_for(key_for("disable my 2FA"), 0)
    assert reported.forbid(ENABLE, said, "semantic", Q, at_distance(S, 0.02, ASIDE))
    assert not reported.forbid(ENABLE, said, "semantic", Q, at_distance(S, 0.05, ASIDE))


def test_the_true_answer_still_hits(reported):
    own = entry_for(ENABLE, 0)
    assert not reported.forbid(ENABLE, own, "exact", Q, Q)
    assert not reported.forbid(key_for("Enable 2FA"), own, "normalised", Q, Q)
    assert not reported.forbid(key_for("turn on 2FA"), own, "semantic", at_distance(Q, 0.02, ASIDE), Q)
    assert not reported.forbid(DISABLE, own, "semantic", S, Q)  # another pair; nobody reported it


def test_a_pair_as_near_as_5_mg_and_50_mg_leaves_the_true_entry_alone():
    five, fifty, said = key_for("dose 5 mg"), key_for("dose 50 mg"), key_for("the dose, 50 mg")
    s, q = S, at_distance(S, 0.01, ASIDE)
    hits = FalseHits()
    hits.add(false_hit(fifty, entry_for(five, 0), "semantic", q, s))
    near_q = at_distance(q, 0.001, unit(0.0, 0.0, 0.0, 1.0))
    assert hits.forbid(said, entry_for(five, 0), "semantic", near_q, s)
    assert not hits.forbid(said, entry_for(fifty, 0), "semantic", near_q, q)


def test_a_normalised_false_hit_ends_normalised_hits_of_its_class():
    said, meant, third = key_for("polish it"), key_for("Polish it"), key_for("POLISH it")
    hits = FalseHits()
    hits.add(false_hit(meant, entry_for(said, 0), "normalised"))
    assert hits.forbid(meant, entry_for(said, 0), "normalised", None, None)
    assert hits.forbid(third, entry_for(said, 0), "normalised", None, None)
    assert hits.forbid(third, entry_for(said, 0), "semantic", S, S)  # the same two, found by their vectors
    assert not hits.forbid(meant, entry_for(meant, 0), "normalised", None, None)
    assert not hits.forbid(meant, entry_for(meant, 0), "exact", None, None)


def test_requests_without_text_are_known_by_their_keys():
    query, source = (key_for(text).__class__(**_without_text(key_for(text))) for text in ("a b", "A b"))
    hits = FalseHits()
    hits.add(false_hit(query, entry_for(source, 0), "normalised"))
    assert hits.forbid(query, entry_for(source, 0), "normalised", None, None)


def test_beyond_the_bound_old_sources_serve_only_their_own_request(monkeypatch):
    monkeypatch.setattr(near_bans, "MAX_NEAR", 3)
    hits = FalseHits()
    for i in range(5):
        source = key_for(f"source {i}")
        hits.add(false_hit(key_for(f"query {i}"), entry_for(source, 0), "semantic", unit(1, i), unit(-1, i)))
    stranger = key_for("something else")
    assert [
        hits.forbid(stranger, entry_for(key_for(f"source {i}"), 0), "semantic", ASIDE, unit(-1, i, 0, 0))
        for i in range(5)
    ] == [True, True, False, False, False]
    assert not hits.forbid(key_for("source 0"), entry_for(key_for("source 0"), 0), "exact", None, None)


def test_vectors_of_another_encoder_are_near_nothing(reported):
    longer = unit(*range(1, 9))
    assert not reported.forbid(key_for("x"), entry_for(key_for("y"), 0), "semantic", longer, longer)
    assert reported.forbid(ENABLE, entry_for(DISABLE, 0), "semantic", longer, longer)


def test_a_request_whose_wrong_answer_is_forgotten_gets_no_other_ones_answer():
    hits = FalseHits()
    hits.add(none_alike(ENABLE, Q, encoder="one"))
    own, other = entry_for(ENABLE, 0), entry_for(DISABLE, 0)
    assert hits.forbid(ENABLE, other, "semantic", None, None)
    assert hits.forbid(key_for("Enable 2FA"), other, "semantic", at_distance(Q, 0.02, ASIDE), S, "one")
    assert not hits.forbid(key_for("Enable 2FA"), other, "semantic", at_distance(Q, 0.05, ASIDE), S, "one")
    assert not hits.forbid(key_for("Enable 2FA"), other, "semantic", at_distance(Q, 0.02, ASIDE), S, "two")
    assert not hits.forbid(ENABLE, own, "exact", None, None)
    assert not hits.forbid(DISABLE, own, "semantic", S, Q, "one")


def test_bans_of_an_encoder_are_compared_with_its_own_vectors_alone():
    hits = FalseHits()
    hits.add(false_hit(ENABLE, entry_for(DISABLE, 0), "semantic", Q, S, encoder="one"))
    query, other, reworded = key_for("please enable 2FA"), entry_for(key_for("y"), 0), entry_for(DISABLE, 99)
    assert hits.forbid(query, other, "semantic", Q, S, "one")
    assert not hits.forbid(query, other, "semantic", Q, S, "two")  # as wide, and it means something else
    assert not hits.forbid(key_for("x"), reworded, "semantic", ASIDE, S, "one")
    # Whether another request is near the reported one, vectors of another encoder cannot say: better none is served.
    assert hits.forbid(key_for("x"), reworded, "semantic", ASIDE, S, "two")
    assert not hits.forbid(DISABLE, reworded, "exact", None, None)


def test_a_neighbourhood_of_another_encoder_is_all_of_its_partition():
    bans = RadiusBans()
    bans.add(10, radius_ban("acme", Q, 0.1, DISABLE.partition, "one"))
    old, new = entry_for(DISABLE, 5), entry_for(DISABLE, 11)
    assert bans.cover(old, Q, "one")
    assert not bans.cover(old, ASIDE, "one")
    assert bans.cover(old, ASIDE, "two")
    assert not bans.cover(new, ASIDE, "two")


def test_says_what_cannot_be_reported():
    entry = entry_for(DISABLE, 0)
    with pytest.raises(InputError, match="by its id"):
        false_hit(DISABLE, entry, "exact")
    with pytest.raises(InputError, match="different tenants"):
        false_hit(key_for("x", tenant_id="else"), entry, "semantic")
    with pytest.raises(InputError, match=r"0 to 0\.9"):
        radius_ban("acme", Q, 1.5)
    with pytest.raises(InputError, match="no unit vector"):
        radius_ban("acme", Q * 2, 0.1)


def _without_text(key):
    return {name: getattr(key, name) for name in key.__struct_fields__} | {"text": None}
