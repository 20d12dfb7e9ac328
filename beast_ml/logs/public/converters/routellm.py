"""RouteLLM's evaluation data: a strong and a weak model on MMLU, GSM8K and MT-Bench.

MMLU and GSM8K are CSVs with the prompt and a True/False column per model; MT-Bench is FastChat's questions and GPT-4
judgements (1..10 for each of two turns). Prompts that RouteLLM found in its own training data are left out, as its
evaluation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["convert_routellm"]

_CONTAMINATED: Final = "contaminated_prompts.jsonl"
_BEST_SCORE: Final = 10


def convert_routellm(files: Mapping[str, Path]) -> pd.DataFrame:
    """Return the outcomes of ``mmlu/mmlu_DOMAIN.csv``, ``gsm8k/gsm8k_responses.csv`` and ``mt_bench/*.jsonl``.

    Quality is 0 or 1, on MT-Bench (score - 1) / 9; model names are lower case without the maker's name, because the
    files spell them differently.

    Raises
    ------
    DataError
        If a file is not in RouteLLM's form.
    """
    import pandas as pd

    tables = []
    for name, path in sorted(files.items()):
        if not name.endswith(".csv"):
            continue
        benchmark, _, file = name.partition("/")
        domain = Path(file).stem.removeprefix("mmlu_")
        task = f"mmlu/{domain}" if benchmark == "mmlu" else benchmark
        tables.append(_answers(task, pd.read_csv(path), _contaminated(files, benchmark)))
    pair = set().union(*(set(table["model"]) for table in tables))
    conversations = _conversations(files)
    tables.append(conversations[conversations["model"].isin(pair)])
    return pd.concat(tables, ignore_index=True)


def _answers(task: str, wide: pd.DataFrame, contaminated: set[str]) -> pd.DataFrame:
    import pandas as pd

    models = [column for column in wide.columns if column != "prompt" and not column.endswith("_response")]
    if "prompt" not in wide or not models:
        raise DataError(f"the table of {task} has the columns {', '.join(wide.columns)}; needs `prompt` and models")
    wide = wide.assign(query_id=[f"routellm:{task}:{row}" for row in range(len(wide))], task=task)
    wide = wide[~wide["prompt"].isin(contaminated)]
    return pd.concat(
        [
            wide[["query_id", "task", "prompt"]].assign(model=_plain(model), quality=wide[model].astype(float))
            for model in models
        ]
    )


def _conversations(files: Mapping[str, Path]) -> pd.DataFrame:
    import pandas as pd

    try:
        questions = pd.read_json(files["mt_bench/question.jsonl"], lines=True)
        judgements = pd.read_json(files["mt_bench/judgements.jsonl"], lines=True)
        first, second = (questions["turns"].str[i] for i in (0, 1))
        contaminated = _contaminated(files, "mt_bench")
        questions = questions.assign(first=first, second=first + "\n\n[turn 2]\n" + second)
        questions = questions[~first.isin(contaminated) & ~second.isin(contaminated)]
        latest = judgements.sort_values("tstamp").drop_duplicates(["question_id", "model", "turn"], keep="last")
        # FastChat writes -1 where the judge's answer held no rating.
        latest = latest[latest["score"].between(1, _BEST_SCORE)]
        judged = latest[["question_id", "model", "turn", "score"]].merge(questions, on="question_id")
    except KeyError as error:
        raise DataError(f"the MT-Bench files lack {error}: they are not FastChat's questions and judgements") from error
    return pd.DataFrame(
        {
            "query_id": "routellm:mt_bench:" + judged["question_id"].astype(str) + ":t" + judged["turn"].astype(str),
            "task": "mt_bench/" + judged["category"].astype(str),
            "prompt": judged["first"].where(judged["turn"] == 1, judged["second"]),
            "model": judged["model"].map(_plain),
            "quality": (judged["score"] - 1) / (_BEST_SCORE - 1),
        }
    )


def _contaminated(files: Mapping[str, Path], benchmark: str) -> set[str]:
    import pandas as pd

    name = f"{benchmark}/{_CONTAMINATED}"
    frame = pd.read_json(files[name], lines=True)
    if "eval_prompt" not in frame:
        raise DataError(f"{name} has the columns {', '.join(frame.columns)}, must have `eval_prompt`")
    return set(frame["eval_prompt"])


def _plain(model: str) -> str:
    return model.rpartition("/")[2].lower()
