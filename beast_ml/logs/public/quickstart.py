"""The quickstart's outcome set: real prompts, three models, judged quality and dollar cost.

It comes with the PyPI package ``paretobandit`` (Apache-2.0), so nothing has to be downloaded. The package is only
located, never imported.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import DataError, MissingExtraError
from beast_ml.logs.public.identity import content_id, file_sha256

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "QUICKSTART_FILES",
    "QUICKSTART_SHA256",
    "convert_quickstart",
    "load_quickstart",
    "quickstart_folder",
    "read_arms",
]

QUICKSTART_FILES: Final = {"val": "val.jsonl", "test": "test_holdout.jsonl"}
"""Files of the package, by split."""

QUICKSTART_SHA256: Final = {
    "val": "9590556ee832bb8e27b0e838eb4fd6b656e69e39c99ef067fc6379abc7f168ef",
    "test": "b2f7e0e034902d254b3620770d98824cb932ad9cbecd38b9ce00345620a70665",
}
"""Their digests."""


def quickstart_folder() -> Path:
    """Return the folder of the installed package that holds the example files.

    Raises
    ------
    MissingExtraError
        If ``paretobandit`` is not installed.
    """
    spec = importlib.util.find_spec("pareto_bandit")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the quickstart data set", "examples")
    return Path(spec.origin).parent / "data" / "examples"


def load_quickstart(folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the quickstart's training and test outcome tables (1,785 and 1,824 queries x 3 models).

    Columns: ``query_id`` (made of the prompt's content), ``task`` (the benchmark the prompt comes from), ``prompt``,
    ``model``, ``quality`` (the judge's reward, 0..1), ``cost_usd`` (per call), ``split``. Tokens and latencies are
    not known. The same prompt is never in both tables.

    Parameters
    ----------
    folder
        Where the two files are; by default the installed ``paretobandit`` package.

    Raises
    ------
    MissingExtraError
        If ``paretobandit`` is not installed.
    DataError
        If a file is absent, or is not byte for byte the published one.
    """
    home = folder or quickstart_folder()
    return _load(home, "val"), _load(home, "test")


def convert_quickstart(files: Mapping[str, Path]) -> pd.DataFrame:
    """Return the outcome table of one of the two files, given under its published name.

    Raises
    ------
    DataError
        If the file is not in the package's format.
    """
    import pandas as pd

    splits = {name: part for part, name in QUICKSTART_FILES.items()}
    return pd.concat([read_arms(path, splits[name]) for name, path in sorted(files.items())], ignore_index=True)


def read_arms(path: Path, split: str) -> pd.DataFrame:
    """Return the outcome table of one file in the package's format: a line per prompt with the ``arms`` tried.

    Raises
    ------
    DataError
        If a line is not in that format.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                prompt, task = record["prompt"], record["source"]
                query_id = content_id(prompt)
                rows.extend(
                    {
                        "query_id": query_id,
                        "task": task,
                        "prompt": prompt,
                        "model": model,
                        "quality": float(arm["reward"]),
                        "cost_usd": float(arm["cost"]),
                        "split": split,
                    }
                    for model, arm in record["arms"].items()
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"line {number} of {path} is not a prompt with its arms ({type(error).__name__}: {error}); "
                    "a line is a JSON object with `prompt`, `source` and `arms: {model: {reward, cost}}`"
                ) from error
    if not rows:
        raise DataError(f"{path} holds no outcome; it must have one JSON object a line")
    return pd.DataFrame(rows)


def _load(folder: Path, part: str) -> pd.DataFrame:
    path = folder / QUICKSTART_FILES[part]
    if not path.is_file():
        raise DataError(f'{path} is not there; install the published package: pip install "paretobandit==0.1.1"')
    got, want = file_sha256(path), QUICKSTART_SHA256[part]
    if got != want:
        raise DataError(
            f"{path} has sha256 {got}, the published file has {want}; "
            'reinstall it: pip install --force-reinstall "paretobandit==0.1.1"'
        )
    return read_arms(path, part)
