"""Questions that are in both training and test data: a router may have learned their answers by heart."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import normalise_question

__all__ = ["Overlap", "find_overlap"]


@dataclass(frozen=True)
class Overlap:
    """How much of the test data was trained on.

    Parameters
    ----------
    query_ids
        Test queries whose id is in the training data too.
    questions
        Test queries whose question text is in the training data too, up to case and white space.
    test_queries
        Number of test queries.
    """

    query_ids: int
    questions: int
    test_queries: int

    def warning(self) -> str | None:
        """Return what to tell the user, or None when nothing is shared."""
        if not self.query_ids and not self.questions:
            return None
        return (
            f"{self.questions} of {self.test_queries} test queries ask a question that is in the training data, and "
            f"{self.query_ids} share a query id with it: results on them flatter every learned router; "
            "split by question before judging"
        )

    def to_dict(self) -> dict[str, int]:
        """Return the counts for a report."""
        return asdict(self)


def find_overlap(train: OutcomeMatrix, test: OutcomeMatrix) -> Overlap:
    """Return how many test queries are in the training data, by id and by question."""
    seen = {normalise_question(prompt) for prompt in train.prompts}
    questions = sum(normalise_question(prompt) in seen for prompt in test.prompts)
    ids = int(np.isin(test.query_ids, train.query_ids).sum())
    return Overlap(ids, questions, test.n_queries)
