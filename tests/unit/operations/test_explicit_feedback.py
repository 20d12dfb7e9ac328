import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.logs.schema import QUALITY_SOURCES
from beast_ml.operations.explicit_feedback import FeedbackReport, quality_of


def decoded(**content) -> FeedbackReport:
    return msgspec.json.decode(msgspec.json.encode({"request_id": "r1"} | content), type=FeedbackReport)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"rating": 1}, (0.0, "user")),
        ({"rating": 4.5}, (0.875, "user")),
        ({"rating": 5}, (1.0, "user")),
        ({"thumbs": "up"}, (1.0, "user")),
        ({"thumbs": "down"}, (0.0, "user")),
        ({"quality": 0.0}, (0.0, "judge")),
        ({"quality": 1}, (1.0, "judge")),
        ({"edit_distance": 0}, (1.0, "heuristic")),
        ({"edit_distance": 1}, (0.0, "heuristic")),
        ({"test_passed": True}, (1.0, "test")),
        ({"test_passed": False}, (0.0, "test")),
        ({"quality": 0.5, "source": "user"}, (0.5, "user")),
    ],
)
def test_every_way_to_say_it_is_a_quality_and_a_source(said, meant):
    assert quality_of(decoded(**said)) == meant


@given(
    st.one_of(
        st.fixed_dictionaries({"rating": st.floats(1, 5)}),
        st.fixed_dictionaries({"quality": st.floats(0, 1)}),
        st.fixed_dictionaries({"edit_distance": st.floats(0, 1)}),
    )
)
def test_a_quality_is_always_in_range(said):
    quality, source = quality_of(decoded(**said))
    assert 0 <= quality <= 1
    assert source in QUALITY_SOURCES


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "says none, give exactly one of `rating`, `thumbs`, `quality`, `edit_distance`, `test_passed`"),
        ({"rating": None}, "says none"),
        ({"rating": 3, "thumbs": "up"}, "says `rating` and `thumbs`, give exactly one"),
        ({"rating": 0}, r">= 1.*\$\.rating"),
        ({"rating": True}, r"\$\.rating"),
        ({"rating": "5"}, r"\$\.rating"),
        ({"thumbs": "sideways"}, r"\$\.thumbs"),
        ({"quality": 1.01}, r"<= 1.*\$\.quality"),
        ({"edit_distance": -1}, r">= 0.*\$\.edit_distance"),
        ({"test_passed": 1}, r"\$\.test_passed"),
        ({"quality": 1, "source": "me"}, r"\$\.source"),
        ({"quality": 1, "request_id": ""}, r"\$\.request_id"),
        ({"quality": 1, "stars": 3}, "stars"),
    ],
)
def test_a_wrong_body_is_refused_in_words(content, said):
    with pytest.raises(msgspec.ValidationError, match=said):
        decoded(**content)


@pytest.mark.parametrize("wrong", [{"rating": 6}, {"rating": float("nan")}, {"quality": -0.1}, {"edit_distance": 2.0}])
def test_what_code_constructs_is_checked_too(wrong):
    with pytest.raises(InputError, match=r"must be in [01]\.\."):
        FeedbackReport(request_id="r1", **wrong)
