from dataclasses import replace

from beast_ml.evaluation.overlap import find_overlap


def test_nothing_shared_needs_no_warning(make_outcomes):
    overlap = find_overlap(make_outcomes(20, prefix="a"), make_outcomes(20, 1, prefix="b"))
    assert overlap.to_dict() == {"query_ids": 0, "questions": 0, "test_queries": 20}
    assert overlap.warning() is None


def test_shared_ids_and_shared_questions_are_told_apart(make_outcomes):
    train, test = make_outcomes(20, prefix="a"), make_outcomes(20, 1, prefix="b")
    shouted = replace(test, prompts=(f"  {train.prompts[4].upper()} ", *test.prompts[1:]))
    assert find_overlap(train, shouted).to_dict() == {"query_ids": 0, "questions": 1, "test_queries": 20}
    renamed = replace(test, query_ids=train.query_ids)
    assert find_overlap(train, renamed).to_dict() == {"query_ids": 20, "questions": 0, "test_queries": 20}
    assert "1 of 20 test queries ask a question that is in the training data" in find_overlap(train, shouted).warning()
    assert "20 share a query id" in find_overlap(train, renamed).warning()
