import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain.endpoint import CAPABILITIES, ModelLimits
from beast_ml.operations.health import fits

NOTHING = frozenset()


@given(st.integers(0, 10**9), st.none() | st.integers(1, 10**9), st.frozensets(st.sampled_from(CAPABILITIES)))
def test_what_is_not_known_is_not_checked(input_tokens, max_output_tokens, needs):
    assert fits(ModelLimits(), input_tokens, max_output_tokens, needs) is None


@pytest.mark.parametrize(
    ("input_tokens", "max_output_tokens", "kind"),
    [(900, 100, None), (900, 101, "context_length"), (999, None, None), (1000, None, "context_length")],
)
def test_prompt_and_answer_share_the_context(input_tokens, max_output_tokens, kind):
    assert fits(ModelLimits(context_tokens=1000), input_tokens, max_output_tokens, NOTHING) == kind


def test_an_answer_longer_than_the_model_writes_does_not_fit():
    limits = ModelLimits(max_output_tokens=100)
    assert fits(limits, 10**6, 100, NOTHING) is None
    assert fits(limits, 1, 101, NOTHING) == "context_length"


def test_every_capability_that_is_needed_must_be_there():
    limits = ModelLimits(capabilities=frozenset({"tools", "json"}))
    assert fits(limits, 1, None, frozenset({"tools"})) is None
    assert fits(limits, 1, None, frozenset({"tools", "vision"})) == "no_candidate"
    assert fits(ModelLimits(capabilities=NOTHING), 1, None, NOTHING) is None
