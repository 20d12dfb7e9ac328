"""Where the raw files of the public sets are: addresses that name a commit, so that they cannot change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beast_ml.logs.public.quickstart import QUICKSTART_FILES, QUICKSTART_SHA256

__all__ = [
    "MMLU_PRO_FILES",
    "QUICKSTART_TEST_FILES",
    "QUICKSTART_VAL_FILES",
    "ROUTELLM_FILES",
    "ROUTERBENCH_FILES",
    "ROUTERDC_FILES",
    "ZEROEVAL_FILES",
    "SourceFile",
]


@dataclass(frozen=True)
class SourceFile:
    """One raw file.

    Parameters
    ----------
    name
        What its converter calls it.
    url
        Its address; ``package:quickstart/NAME`` for a file of the installed ``paretobandit`` package.
    sha256
        Its digest, or None where the publisher gives none: then the first pull records it, and later ones must match.
    """

    name: str
    url: str
    sha256: str | None = None


def _github(repository: str, commit: str, path: str, name: str) -> SourceFile:
    return SourceFile(name, f"https://raw.githubusercontent.com/{repository}/{commit}/{path}")


def _quickstart(part: str) -> tuple[SourceFile, ...]:
    name = QUICKSTART_FILES[part]
    return (SourceFile(name, f"package:quickstart/{name}", QUICKSTART_SHA256[part]),)


_ROUTELLM: Final = ("lm-sys/RouteLLM", "0b64fdafe049e596a3f5657c219329f24af24198")
_ROUTERBENCH: Final = ("shuhao02/RouterDC", "1963d6874b69c94309ea37a34d7d4cd6f527e7c5")
_ROUTERDC: Final = ("shuhao02/RouterDC", "dadb87299f65fb8f1c1dddc30967a3907d0132dd")
_MMLU_PRO: Final = ("TIGER-AI-Lab/MMLU-Pro", "964a136e98ff17f81b0cd11c15c70784f6ee4378")

_ZEROEVAL: Final = ("WildEval/ZeroEval", "8c1485edf12c6efb5f69135a562927c5ad484059")

_MMLU_DOMAINS: Final = """
abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics
econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology
high_school_chemistry high_school_computer_science high_school_european_history high_school_geography
high_school_government_and_politics high_school_macroeconomics high_school_mathematics high_school_microeconomics
high_school_physics high_school_psychology high_school_statistics high_school_us_history high_school_world_history
human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning management marketing
medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory professional_accounting
professional_law professional_medicine professional_psychology public_relations security_studies sociology
us_foreign_policy virology world_religions
""".split()  # noqa: SIM905 - a block of names reads better than a list of quoted ones

_MMLU_PRO_MODELS: Final = """
DeepSeek-Coder-V2 Llama-2-13b-hf Llama-2-70b-hf Llama-2-7b-hf Meta-Llama-3-70B Meta-Llama-3-8B
Meta-Llama-3_1-70B-Instruct Meta-Llama-3_1-70B Meta-Llama-3_1-8B-Instruct Meta-Llama-3_1-8B Mistral-7B-Instruct-v0.1
Mistral-7B-Instruct-v0.2 Mistral-7B-v0.1 Mistral-7B-v0.2-hf Mixtral-8x7B-Instruct-v0.1 Mixtral-8x7B-v0.1
Phi-3-mini-4k-instruct Qwen1.5-110B Qwen1.5-72B-Chat Qwen1.5-7B-Chat Yi-34B Yi-6B Yi-6b-Chat c4ai-command-r-v01
gemini-1.5-flash-002 gemini-1.5-pro-002 gemma-7b jamba-1.5-large mathstral-7B
""".split()  # noqa: SIM905 - a block of names reads better than a list of quoted ones

_ZEROEVAL_GSM: Final = """
Athene-70B DeepSeek-Coder-V2-0724 Llama-3.1-405B-Inst@sambanova Llama-3.1-405B-Instruct-Turbo
Meta-Llama-3-70B-Instruct Meta-Llama-3-8B-Instruct Meta-Llama-3.1-405B-Instruct@hyperbolic Meta-Llama-3.1-70B-Instruct
Meta-Llama-3.1-8B-Instruct Mistral-Large-2 Mistral-Nemo-Instruct-2407 Mixtral-8x7B-Instruct-v0.1 Phi-3.5-mini-instruct
Qwen2-72B-Instruct Qwen2-7B-Instruct Yi-1.5-34B-Chat Yi-1.5-9B-Chat claude-3-5-haiku-20241022
claude-3-5-sonnet-20240620 claude-3-5-sonnet-20241022 claude-3-haiku-20240307 claude-3-opus-20240229
claude-3-sonnet-20240229 command-r command-r-plus deepseek-chat deepseek-coder deepseek-v2.5-0908 gemini-1.5-flash
gemini-1.5-pro gemini-1.5-pro-exp-0801 gemma-2-27b-it@together gemma-2-2b-it gemma-2-9b-it gpt-3.5-turbo-0125
gpt-4o-2024-05-13 gpt-4o-2024-08-06 gpt-4o-mini-2024-07-18 o1-mini-2024-09-12 reka-core-20240501 reka-flash-20240226
yi-large yi-large-preview
""".split()  # noqa: SIM905 - a block of names reads better than a list of quoted ones

_ZEROEVAL_CRUX: Final = """
Athene-70B Llama-3.1-405B-Inst-fp8 Llama-3.1-405B-Inst@sambanova Meta-Llama-3-70B-Instruct Meta-Llama-3-8B-Instruct
Meta-Llama-3.1-405B-Instruct@hyperbolic Meta-Llama-3.1-70B-Instruct Meta-Llama-3.1-8B-Instruct Mistral-Large-2
Mixtral-8x7B-Instruct-v0.1 Phi-3-mini-4k-instruct Phi-3.5-mini-instruct Qwen2-72B-Instruct Qwen2-7B-Instruct
Qwen2.5-32B-Instruct Qwen2.5-3B-Instruct Qwen2.5-72B-Instruct Qwen2.5-7B-Instruct Yi-1.5-34B-Chat Yi-1.5-9B-Chat
chatgpt-4o-latest-24-09-07 claude-3-5-haiku-20241022 claude-3-5-sonnet-20240620 claude-3-5-sonnet-20241022
claude-3-haiku-20240307 claude-3-opus-20240229 claude-3-sonnet-20240229 deepseek-v2-chat-0628 deepseek-v2-coder-0724
deepseek-v2.5-0908 gemini-1.5-flash gemini-1.5-flash-exp-0827 gemini-1.5-pro gemini-1.5-pro-exp-0801
gemini-1.5-pro-exp-0827 gemma-2-27b-it gemma-2-2b-it gemma-2-9b-it gpt-3.5-turbo-0125 gpt-4-0314
gpt-4-turbo-2024-04-09 gpt-4o-2024-05-13 gpt-4o-2024-08-06 gpt-4o-mini-2024-07-18 grok-2-1212 o1-mini-2024-09-12
o1-preview-2024-09-12 reka-core-20240501 reka-flash-20240226 yi-large yi-large-preview
""".split()  # noqa: SIM905 - a block of names reads better than a list of quoted ones

_ROUTERDC_TASKS: Final = """
MATH_prealgebra arc_challenge_test arc_challenge_train arc_easy_test arc_easy_train ceval cmmlu_test gsm8k-test
gsm8k-train humaneval_test humaneval_train javascript mbpp mmlu_test
""".split()  # noqa: SIM905 - a block of names reads better than a list of quoted ones

QUICKSTART_VAL_FILES: Final = _quickstart("val")
"""Of the set that quickstart learns from."""

QUICKSTART_TEST_FILES: Final = _quickstart("test")
"""Of the set that it measures on."""

ROUTELLM_FILES: Final[tuple[SourceFile, ...]] = (
    *(
        _github(*_ROUTELLM, f"routellm/evals/mmlu/responses/mmlu_{domain}.csv", f"mmlu/mmlu_{domain}.csv")
        for domain in _MMLU_DOMAINS
    ),
    *(
        _github(*_ROUTELLM, f"routellm/evals/{name}", name)
        for name in (
            "mmlu/contaminated_prompts.jsonl",
            "gsm8k/gsm8k_responses.csv",
            "gsm8k/contaminated_prompts.jsonl",
            "mt_bench/question.jsonl",
            "mt_bench/judgements.jsonl",
            "mt_bench/contaminated_prompts.jsonl",
        )
    ),
)
"""Of RouteLLM's outcomes."""

ROUTERBENCH_FILES: Final[tuple[SourceFile, ...]] = tuple(
    _github(*_ROUTERBENCH, f"datasets/routerbench_zs/{name}.csv", f"{name}.csv")
    for name in (
        "arc_challenge_test",
        "arc_challenge_train",
        "mbpp_test",
        "mbpp_train",
        "winograde_test",
        "winograde_train",
    )
)
"""Of RouterBench."""

ROUTERDC_FILES: Final[tuple[SourceFile, ...]] = (
    *(_github(*_ROUTERDC, f"datasets/split2_model7/{name}.json", f"{name}.json") for name in _ROUTERDC_TASKS),
    *(
        _github(*_ROUTERDC, f"datasets/split2_model7_cluster/{name}.json", f"{name}.json")
        for name in ("cmmlu_train", "mmlu_train")
    ),
)
"""Of RouterDC."""

MMLU_PRO_FILES: Final[tuple[SourceFile, ...]] = tuple(
    _github(*_MMLU_PRO, f"eval_results/model_outputs_{model}_5shots.zip", f"model_outputs_{model}_5shots.zip")
    for model in _MMLU_PRO_MODELS
)
"""Of the MMLU-Pro outcomes."""

ZEROEVAL_FILES: Final[tuple[SourceFile, ...]] = tuple(
    _github(*_ZEROEVAL, f"result_dirs/{folder}/{model}.json", f"{folder}/{model}.json")
    for folder, models in (("gsm", _ZEROEVAL_GSM), ("crux", _ZEROEVAL_CRUX))
    for model in models
)
"""Of ZeroEval."""
