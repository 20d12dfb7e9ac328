"""MMLU-Pro's stored model outputs: one zip per model with JSON lists of answered questions.

Each record has ``question_id, question, options, answer, category`` and the letter ``pred`` that was read from the
model's text, null where none was found.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Final

from beast_ml.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["convert_mmlu_pro"]

_NAME: Final = re.compile(r"model_outputs_(?P<model>.+)_5shots\.zip")
_MAX_MEMBER_BYTES: Final = 1 << 30  # far above any real member: a guard against zip bombs


def convert_mmlu_pro(files: Mapping[str, Path]) -> pd.DataFrame:
    """Return the outcomes of ``model_outputs_MODEL_5shots.zip`` files: 1 where the letter is right, else 0.

    Raises
    ------
    DataError
        If a file is no such archive.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for name, path in sorted(files.items()):
        match = _NAME.fullmatch(name)
        if match is None:
            raise DataError(f"{name} is no archive of MMLU-Pro; its name must be model_outputs_MODEL_5shots.zip")
        try:
            rows.extend(
                {
                    "query_id": f"mmlu_pro:{record['question_id']}",
                    "task": record["category"],
                    "prompt": _prompt(record["question"], record["options"]),
                    "model": match["model"],
                    "quality": float(record["pred"] == record["answer"]),
                }
                for record in _records(path)
            )
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{name} is no archive of MMLU-Pro: {type(error).__name__}: {error}") from error
    frame = pd.DataFrame(rows)
    # A question's options were edited between runs in a few places: the question is what most models saw.
    usual = frame.groupby("query_id")["prompt"].agg(lambda prompts: prompts.mode().iloc[0])
    return frame[frame["prompt"] == frame["query_id"].map(usual)]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda info: info.filename):
            inside = Path(member.filename)
            if inside.suffix != ".json" or "__MACOSX" in inside.parts:
                continue
            if member.file_size > _MAX_MEMBER_BYTES:
                raise DataError(f"{member.filename} in {path.name} says it has {member.file_size:,} bytes: refused")
            content = json.loads(archive.read(member))
            if not isinstance(content, list):
                continue  # summaries lie beside the records in some archives
            yield from content


def _prompt(question: str, options: list[str]) -> str:
    real = [option for option in options if option != "N/A"]
    return "\n".join(
        [question, *(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, real, strict=False))]
    )
