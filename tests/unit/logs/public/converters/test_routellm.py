import json
from pathlib import Path

import pandas as pd
import pytest

from beast_ml.errors import DataError
from beast_ml.logs.public.converters.routellm import convert_routellm

WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"


def lines(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def judgement(question: int, model: str, turn: int, score: int, tstamp: float = 1.0) -> dict:
    return {"question_id": question, "model": model, "turn": turn, "score": score, "tstamp": tstamp}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    mmlu, gsm = tmp_path / "mmlu.csv", tmp_path / "gsm.csv"
    pd.DataFrame(
        {"prompt": ["seen?", "new?"], "mixtral-8x7b-instruct-v0.1": [True, False], STRONG: [True, True]}
    ).to_csv(mmlu, index=False)
    pd.DataFrame(
        {"prompt": ["1+1"], WEAK: [False], STRONG: [True], f"{WEAK}_response": ["3"], f"{STRONG}_response": ["2"]}
    ).to_csv(gsm, index=False)
    return {
        "mmlu/mmlu_anatomy.csv": mmlu,
        "mmlu/contaminated_prompts.jsonl": lines(tmp_path / "mc", {"eval_prompt": "seen?", "train_prompt": "seen"}),
        "gsm8k/gsm8k_responses.csv": gsm,
        "gsm8k/contaminated_prompts.jsonl": lines(tmp_path / "gc", {"eval_prompt": "other", "train_prompt": "x"}),
        "mt_bench/question.jsonl": lines(
            tmp_path / "q",
            {"question_id": 81, "category": "writing", "turns": ["Write.", "Shorten."]},
            {"question_id": 82, "category": "math", "turns": ["Seen.", "Again."]},
        ),
        "mt_bench/judgements.jsonl": lines(
            tmp_path / "j",
            judgement(81, STRONG, 1, 10),
            judgement(81, STRONG, 2, 4, tstamp=1.0),
            judgement(81, STRONG, 2, 7, tstamp=2.0),
            judgement(81, WEAK, 1, 1),
            judgement(81, WEAK, 2, -1),
            judgement(81, "claude-2", 1, 9),
            judgement(82, STRONG, 1, 9),
        ),
        "mt_bench/contaminated_prompts.jsonl": lines(tmp_path / "bc", {"eval_prompt": "Again.", "train_prompt": "y"}),
    }


def test_the_three_benchmarks_become_one_table(files: dict[str, Path]) -> None:
    rows = convert_routellm(files)
    got = {(r.query_id, r.model): r.quality for r in rows.itertuples()}
    weak = "mixtral-8x7b-instruct-v0.1"
    assert got == {
        ("routellm:mmlu/anatomy:1", weak): 0.0,
        ("routellm:mmlu/anatomy:1", STRONG): 1.0,
        ("routellm:gsm8k:0", weak): 0.0,
        ("routellm:gsm8k:0", STRONG): 1.0,
        ("routellm:mt_bench:81:t1", STRONG): 1.0,
        ("routellm:mt_bench:81:t2", STRONG): pytest.approx(6 / 9),
        ("routellm:mt_bench:81:t1", weak): 0.0,
    }
    prompts = rows.set_index("query_id")["prompt"]
    assert prompts["routellm:mt_bench:81:t2"] == "Write.\n\n[turn 2]\nShorten."
    assert set(rows["task"]) == {"mmlu/anatomy", "gsm8k", "mt_bench/writing"}


def test_a_table_without_models_is_refused(files: dict[str, Path]) -> None:
    files["mmlu/mmlu_anatomy.csv"].write_text("prompt\nx\n")
    with pytest.raises(DataError, match="the table of mmlu/anatomy has the columns prompt; needs"):
        convert_routellm(files)


def test_other_conversations_are_refused(files: dict[str, Path]) -> None:
    lines(files["mt_bench/judgements.jsonl"], {"question_id": 81, "rating": 3})
    with pytest.raises(DataError, match="the MT-Bench files lack"):
        convert_routellm(files)


def test_another_list_of_contaminated_prompts_is_refused(files: dict[str, Path]) -> None:
    lines(files["gsm8k/contaminated_prompts.jsonl"], {"prompt": "x"})
    with pytest.raises(DataError, match=r"gsm8k/contaminated_prompts.jsonl has the columns prompt"):
        convert_routellm(files)
