"""RouterDC's own training data: JSON lists of ``{"question": ..., "scores": {model: score}}``.

For multiple-choice tasks a score is the probability of the right choice where the model chose it, and 0 where it did
not; for the others it is the mean over ten samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["convert_routerdc"]

_MULTIPLE_CHOICE: Final = frozenset({"mmlu", "cmmlu", "ceval", "arc_challenge", "arc_easy"})
_NAME: Final = re.compile(r"^(?P<task>.+?)(?:[-_](?P<split>train|test))?$")


def convert_routerdc(files: Mapping[str, Path]) -> pd.DataFrame:
    """Return the outcomes of ``TASK_SPLIT.json`` files; files without a split are out-of-distribution tests.

    Raises
    ------
    DataError
        If a file is not in RouterDC's form.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for name, path in sorted(files.items()):
        stem = Path(name).stem
        match = _NAME.fullmatch(stem)
        task, split = (match["task"], match["split"]) if match else (stem, None)
        task = task.removeprefix("MATH_")
        try:
            records = json.loads(path.read_text("utf-8"))
            rows.extend(
                {
                    "query_id": f"routerdc7:{stem}:{number}",
                    "task": task,
                    "prompt": record["question"],
                    "model": model,
                    "quality": float(score > 0) if task in _MULTIPLE_CHOICE else float(score),
                    "split": split or "ood_test",
                }
                for number, record in enumerate(records)
                for model, score in record["scores"].items()
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{name} is no list of questions with scores: {type(error).__name__}: {error}") from error
    return pd.DataFrame(rows)
