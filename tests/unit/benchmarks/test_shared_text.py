from beast_ml.benchmarks.shared_text import asked_within

QUESTION = "A ball rolls down a slope of two metres in three seconds; how fast is it at the very end?"
SHOT = (
    "Solve. Question: what is two and two?\nA) 3 B) 4\nPrint only a single choice without any explanation.\nAnswer: B\n"
)


def test_a_question_behind_an_example_and_before_options_is_found():
    others = [f"{SHOT}{QUESTION}\nA) 1 m/s B) 2 m/s\nAnswer:", f"{SHOT}Who wrote Hamlet?\nAnswer:"]
    assert asked_within([f"Question: {QUESTION}\nAnswer:", QUESTION.upper()], others).all()


def test_a_frame_that_many_prompts_share_is_no_question():
    others = [f"{SHOT}Is {i} a prime number?\nAnswer:" for i in range(3)]
    assert not asked_within([f"{SHOT}{QUESTION}\nAnswer:"], others).any()


def test_a_question_that_nobody_else_asks_is_not_found():
    assert not asked_within([QUESTION], ["A ball rolls down a hill; when does it stop if nothing holds it up?"]).any()


def test_short_questions_are_found_only_whole():
    assert asked_within(["Who wrote Hamlet?"], ["who wrote hamlet"]).tolist() == [True]
    assert asked_within(["Who wrote Faust?"], ["who wrote hamlet"]).tolist() == [False]


def test_nothing_is_asked_within_nothing():
    assert asked_within([QUESTION], []).tolist() == [False]
    assert asked_within([], [QUESTION]).tolist() == []
