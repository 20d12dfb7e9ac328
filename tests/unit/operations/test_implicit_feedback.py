import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.operations.implicit_feedback import WEAK_QUALITY, ImplicitFeedback, WeakSignal

ASKED = "How do I reverse a list in Python?"


class Hand:
    """A clock hand that is moved by the test."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def noticed(hand: Hand) -> ImplicitFeedback:
    return ImplicitFeedback(window_s=300, monotonic=hand)


def test_the_same_prompt_again_is_a_retry_of_the_first(noticed, hand):
    assert noticed.sent("r1", "acme", "ann", None, ASKED) is None
    hand.at += 20
    signal = noticed.sent("r2", "acme", "ann", None, "  how do i reverse\na list in python ")
    assert signal == WeakSignal("r1", "retry", WEAK_QUALITY["retry"])
    hand.at += 20
    assert noticed.sent("r3", "acme", "ann", None, ASKED).request_id == "r2"


@pytest.mark.parametrize(
    ("tenant", "user", "session", "prompt"),
    [
        ("zeta", "ann", None, ASKED),
        ("acme", "bob", None, ASKED),
        ("acme", "ann", "s1", ASKED),
        ("acme", None, None, ASKED),
        ("acme", "ann", None, "How do I reverse a tuple in Python?"),
        ("acme", "ann", None, ASKED + " 2 + 2"),
    ],
)
def test_somebody_else_or_something_else_is_no_retry(noticed, hand, tenant, user, session, prompt):
    noticed.sent("r1", "acme", "ann", None, ASKED)
    hand.at += 20
    assert noticed.sent("r2", tenant, user, session, prompt) is None


def test_a_user_named_as_a_session_is_not_it(noticed, hand):
    noticed.sent("r1", "acme", "x", None, ASKED)
    hand.at += 20
    assert noticed.sent("r2", "acme", None, "x", ASKED) is None


def test_the_same_conversation_again_is_a_regeneration(noticed, hand):
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", ASKED)]
    noticed.sent("r1", "acme", "ann", "s", ASKED, turns)
    hand.at += 20
    assert noticed.sent("r2", "acme", "ann", "s", ASKED, list(turns)) == WeakSignal(
        "r1", "regeneration", WEAK_QUALITY["regeneration"]
    )


def test_the_same_question_later_in_a_conversation_is_a_retry_but_a_short_word_is_not(noticed, hand):
    for i, (prompt, kind) in enumerate([(ASKED, "retry"), ("continue", None)]):
        first = [("user", prompt)]
        noticed.sent(f"a{i}", "acme", "ann", "s", prompt, first)
        hand.at += 20
        signal = noticed.sent(f"b{i}", "acme", "ann", "s", prompt, [*first, ("assistant", "..."), ("user", prompt)])
        assert (signal and signal.kind) == kind


def test_a_request_that_failed_says_nothing_of_an_answer(noticed, hand):
    noticed.sent("r1", "acme", "ann", None, ASKED)
    noticed.failed("r1")
    noticed.failed("unknown")
    hand.at += 20
    assert noticed.sent("r2", "acme", "ann", None, ASKED) is None


def test_what_comes_at_once_was_not_read(noticed, hand):
    noticed.sent("r1", "acme", "ann", None, ASKED)
    hand.at += 0.2
    assert noticed.sent("r2", "acme", "ann", None, ASKED) is None


def test_what_comes_after_the_window_is_a_new_question(noticed, hand):
    noticed.sent("r1", "acme", "ann", None, ASKED)
    hand.at += 301
    assert noticed.sent("r2", "acme", "ann", None, ASKED) is None
    assert len(noticed) == 1


def test_a_program_that_polls_is_not_heard_after_a_few(noticed, hand):
    heard = []
    for i in range(20):
        heard.append(noticed.sent(f"r{i}", "acme", "cron", None, ASKED))
        hand.at += 10
    assert sum(signal is not None for signal in heard) == 3


def test_an_answer_that_is_stopped_early_is_abandoned(noticed, hand):
    noticed.sent("r1", "acme", "ann", None, ASKED)
    assert noticed.abandoned("r1", 5, 100.0) == WeakSignal("r1", "abandonment", WEAK_QUALITY["abandonment"])
    assert noticed.abandoned("r1", 0).kind == "abandonment"
    assert noticed.abandoned("r1", 95, 100.0) is None
    hand.at += 20
    assert noticed.sent("r2", "acme", "ann", None, ASKED) is None  # told once is enough


def test_marks_alone_are_a_prompt_too(noticed, hand):
    noticed.sent("r1", "acme", "ann", None, "???")
    hand.at += 20
    assert noticed.sent("r2", "acme", "ann", None, "!!!") is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Was ist Größe?", "was ist  GRÖSSE", False),
        ("Was ist GRÖẞE?", "was ist  größe", True),
        ("\ud83d half an emoji", "\ud83d HALF an emoji", True),
        ("Σίσυφος!", "σίσυφος", True),
        ("2.5 + 1", "25 + 1", False),
    ],
)
def test_any_script_is_compared(noticed, hand, first, second, same):
    noticed.sent("r1", "acme", "ann", None, first)
    hand.at += 20
    assert (noticed.sent("r2", "acme", "ann", None, second) is not None) == same


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(0, 200)), max_size=80))
def test_memory_is_bounded_and_a_signal_is_about_an_earlier_request_of_the_same_person(sent):
    hand = Hand()
    noticed = ImplicitFeedback(window_s=300, max_requests=10, monotonic=hand)
    owners = {}
    for i, (user, prompt, wait) in enumerate(sent):
        hand.at += wait
        signal = noticed.sent(f"r{i}", "acme", f"u{user}", None, f"prompt {prompt}")
        owners[f"r{i}"] = (user, prompt)
        assert len(noticed) <= 10
        assert len(noticed._by_id) == len(noticed)
        if signal is not None:
            assert signal.request_id != f"r{i}"
            assert owners[signal.request_id] == (user, prompt)


def test_an_id_is_sent_once(noticed):
    noticed.sent("r1", "acme", "ann", None, ASKED)
    with pytest.raises(InputError, match="ids must be new"):
        noticed.sent("r1", "acme", "ann", None, ASKED)


@pytest.mark.parametrize("wrong", [{"window_s": 0}, {"window_s": float("nan")}, {"max_requests": 0}])
def test_impossible_bounds_are_refused(wrong):
    with pytest.raises(InputError, match="must be"):
        ImplicitFeedback(**wrong)
