"""ZeroEval's stored answers on GSM8K and CRUXEval-O, scored here.

A file is a JSON list of records with ``id, question, answer`` (the key) and ``output``, a list with the model's text,
which was asked to end in a JSON object with the field ``answer``. The repository stores no verdicts, so they are made
here: GSM8K by the first number of the answer, CRUXEval by the Python literal. They may differ from the published
accuracies by tenths of a point.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer_of", "convert_zeroeval", "same_literal", "same_number"]

_TASKS: Final = {"gsm": "gsm8k", "crux": "cruxeval_o"}
_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_LOOSE: Final = re.compile(r'"?answer"?\s*:\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^,\s}]+))')
_DECODER: Final = json.JSONDecoder(strict=False)  # models put line breaks into their strings


def convert_zeroeval(files: Mapping[str, Path]) -> pd.DataFrame:
    """Return the outcomes of ``gsm/MODEL.json`` and ``crux/MODEL.json`` files; an answer that is not given is wrong.

    Raises
    ------
    DataError
        If a file is not in ZeroEval's form.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for name, path in sorted(files.items()):
        folder, _, file = name.partition("/")
        right = same_number if folder == "gsm" else same_literal
        try:
            for record in json.loads(path.read_text("utf-8")):
                answer = answer_of(record["output"][0])
                rows.append(
                    {
                        "query_id": f"zeroeval:{record['id']}",
                        "task": _TASKS[folder],
                        "prompt": record["question"],
                        "model": file.removesuffix(".json"),
                        "quality": float(answer is not None and right(answer, str(record["answer"]))),
                    }
                )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{name} is no list of ZeroEval's answers: {type(error).__name__}: {error}") from error
    return pd.DataFrame(rows)


def answer_of(text: str) -> str | None:
    """Return the field ``answer`` of the first JSON object in a model's text that has it, or None.

    Examples
    --------
    >>> answer_of('I think {so}. {"reasoning": "1 + 1", "answer": 2}')
    '2'
    """
    for brace in re.finditer(r"\{", text):
        try:
            value, _ = _DECODER.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and "answer" in value:
            return str(value["answer"])
    loose = _LOOSE.search(text)
    return None if loose is None else (loose["quoted"] or loose["bare"])


def same_number(answer: str, key: str) -> bool:
    """Return whether the first numbers of both texts are equal.

    Examples
    --------
    >>> same_number("$1,200.0 in all", "# 1200")
    True
    """
    got, want = (_NUMBER.search(text) for text in (answer, key))
    if got is None or want is None:
        return False
    return Decimal(got.group().replace(",", "")) == Decimal(want.group().replace(",", ""))


def same_literal(answer: str, key: str) -> bool:
    """Return whether an answer is the Python literal of the key, or the text inside its quotes.

    Examples
    --------
    >>> same_literal("[1,2]", "[1, 2]"), same_literal("abc", "'abc'"), same_literal("1", "True")
    (True, True, False)
    """
    if answer.strip() == key.strip():
        return True
    want = _literal(key)
    if isinstance(want, str) and answer == want:
        return True
    got = _literal(answer)
    return got is not None and type(got) is type(want) and got == want


def _literal(text: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in models' texts
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
