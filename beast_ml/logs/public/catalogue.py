"""What public outcome sets there are: home, licence, files, and what to know before using them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beast_ml.errors import InputError
from beast_ml.logs.public.catalogue_files import (
    MMLU_PRO_FILES,
    QUICKSTART_TEST_FILES,
    QUICKSTART_VAL_FILES,
    ROUTELLM_FILES,
    ROUTERBENCH_FILES,
    ROUTERDC_FILES,
    ZEROEVAL_FILES,
    SourceFile,
)

__all__ = ["CATALOGUE", "PublicSet", "find_set"]


@dataclass(frozen=True)
class PublicSet:
    """One public outcome set.

    Parameters
    ----------
    name
        What the command line calls it, and its folder.
    what
        One line about it.
    home
        Where it comes from.
    licence
        Its licence; "none stated" where there is none.
    needs_acceptance
        Whether the user must accept in words that there is no licence for anything but their own evaluation.
    n_queries, n_models
        Size of the whole set as published, before anything is left out.
    files
        Its raw files; none where it cannot be pulled.
    converter
        ``module:function`` that makes the outcome table.
    caveats
        What to know before concluding anything from it.
    not_pullable
        Why it cannot be pulled by this version, or "".
    """

    name: str
    what: str
    home: str
    licence: str
    needs_acceptance: bool
    n_queries: int
    n_models: int
    files: tuple[SourceFile, ...]
    converter: str
    caveats: tuple[str, ...]
    not_pullable: str = ""


_CONVERTERS: Final = "beast_ml.logs.public.converters"
_QUICKSTART_CAVEATS: Final = (
    "quality is a judge model's reward, not a test's verdict; the judge's name is not in the files",
    "no tokens and no latency; cost is what the source reports per call",
    "ships with the PyPI package paretobandit, nothing is downloaded",
)

CATALOGUE: Final[tuple[PublicSet, ...]] = (
    PublicSet(
        name="quickstart-val",
        what="prompts of eight benchmarks, three LLMs, judged quality and dollar cost; the part to train on",
        home="https://pypi.org/project/paretobandit/0.1.1 (pareto_bandit/data/examples/val.jsonl)",
        licence="Apache-2.0",
        needs_acceptance=False,
        n_queries=1785,
        n_models=3,
        files=QUICKSTART_VAL_FILES,
        converter="beast_ml.logs.public.quickstart:convert_quickstart",
        caveats=_QUICKSTART_CAVEATS,
    ),
    PublicSet(
        name="quickstart-test",
        what="the same three LLMs on other prompts of the same benchmarks; the part to evaluate on",
        home="https://pypi.org/project/paretobandit/0.1.1 (pareto_bandit/data/examples/test_holdout.jsonl)",
        licence="Apache-2.0",
        needs_acceptance=False,
        n_queries=1824,
        n_models=3,
        files=QUICKSTART_TEST_FILES,
        converter="beast_ml.logs.public.quickstart:convert_quickstart",
        caveats=_QUICKSTART_CAVEATS,
    ),
    PublicSet(
        name="routellm_pair",
        what="GPT-4-1106 against Mixtral-8x7B on MMLU, GSM8K and MT-Bench (RouteLLM's evaluation)",
        home="https://github.com/lm-sys/RouteLLM, routellm/evals",
        licence="Apache-2.0",
        needs_acceptance=False,
        n_queries=15_521,
        n_models=2,
        files=ROUTELLM_FILES,
        converter=f"{_CONVERTERS}.routellm:convert_routellm",
        caveats=(
            "two models only: a strong and a weak one",
            "prompts that RouteLLM calls contaminated are left out, as in its published numbers",
            "no cost, tokens or latency: the source has none",
            "MMLU and GSM8K are test splits on which RouteLLM's published routers were not trained",
        ),
    ),
    PublicSet(
        name="routerbench3",
        what="11 LLMs on MBPP, ARC-Challenge and WinoGrande, with reported dollar cost (three of RouterBench's sets)",
        home="https://github.com/shuhao02/RouterDC, datasets/routerbench_zs; data of arXiv 2403.12031",
        licence="none stated (RouterBench's code is MIT)",
        needs_acceptance=True,
        n_queries=3178,
        n_models=11,
        files=ROUTERBENCH_FILES,
        converter=f"{_CONVERTERS}.routerbench:convert_routerbench",
        caveats=(
            "three of RouterBench's eight data sets; the split is RouterDC's",
            "a few ARC queries lack the scores of some models; these rows are left out",
            "some model families score low because their answers did not parse",
            "no tokens and no latency",
        ),
    ),
    PublicSet(
        name="routerdc7",
        what="seven open 7-8B models on MMLU, CMMLU, C-Eval, ARC, GSM8K, MATH, HumanEval, MBPP, JavaScript",
        home="https://github.com/shuhao02/RouterDC, datasets/split2_model7",
        licence="none stated",
        needs_acceptance=True,
        n_queries=20_600,
        n_models=7,
        files=ROUTERDC_FILES,
        converter=f"{_CONVERTERS}.routerdc:convert_routerdc",
        caveats=(
            "no cost, tokens or latency: the models are of one size",
            "multiple-choice answers count as right where the source gives them any probability",
            "code and maths scores are means over ten samples",
            "CMMLU and C-Eval are Chinese; the training parts of MMLU and CMMLU come from split2_model7_cluster",
        ),
    ),
    PublicSet(
        name="mmlu_pro",
        what="29 LLMs on the 12,032 ten-option questions of MMLU-Pro",
        home="https://github.com/TIGER-AI-Lab/MMLU-Pro, eval_results",
        licence="Apache-2.0",
        needs_acceptance=False,
        n_queries=12_032,
        n_models=29,
        files=MMLU_PRO_FILES,
        converter=f"{_CONVERTERS}.mmlu_pro:convert_mmlu_pro",
        caveats=(
            "no cost, tokens or latency; 5-shot prompts, of which only the question is kept",
            "an answer from which no letter could be read counts as wrong; some sources filled in random guesses",
            "base and chat models together; DeepSeek-Coder-V2 misses 1,681 questions",
            "answers to questions whose options were edited between runs are left out",
            "the record format was checked against the code that writes and reads it, not against the archives",
        ),
    ),
    PublicSet(
        name="zeroeval",
        what="59 LLMs on GSM8K and CRUXEval-O: stored answers, scored while they are converted",
        home="https://github.com/WildEval/ZeroEval, result_dirs",
        licence="Apache-2.0",
        needs_acceptance=False,
        n_queries=2119,
        n_models=59,
        files=ZEROEVAL_FILES,
        converter=f"{_CONVERTERS}.zeroeval:convert_zeroeval",
        caveats=(
            "the source stores answers, not verdicts: they are scored here, and may differ by tenths of a point",
            "an answer that cannot be read counts as wrong",
            "not every model ran both tasks; two runs of Llama-3.1-405B by different hosts",
            "no cost, tokens or latency; the repository's other tasks (MATH, ZebraLogic, MMLU-Redux) are not converted",
        ),
    ),
    PublicSet(
        name="bfcl_2024_08",
        what="71 LLMs calling functions (Berkeley leaderboard, August 2024), with reported tokens and real latency",
        home="https://github.com/HuanzhiMao/BFCL-Result, 2024-08-11",
        licence="none stated (the benchmark is Apache-2.0)",
        needs_acceptance=True,
        n_queries=1700,
        n_models=71,
        files=(),
        converter="",
        caveats=("prompts are not in the repository but in the package bfcl-eval; latencies are single calls of 2024",),
        not_pullable="it is some 1,700 small files without their prompts, and this version has no converter for them",
    ),
    PublicSet(
        name="messplus",
        what="three Llama models on nine multiple-choice tasks, with measured latency and energy (MESS+)",
        home="https://github.com/ryanzhangofficial/RouterDC, data/inference_outputs.tar.gz; arXiv 2505.19947",
        licence="none stated",
        needs_acceptance=True,
        n_queries=13_252,
        n_models=3,
        files=(),
        converter="",
        caveats=("latency was measured on one GPU node; there is no dollar cost",),
        not_pullable="the format inside its archive could not be checked, so this version has no converter for it",
    ),
)
"""Every public outcome set that is known, in the order in which they are listed."""


def find_set(name: str) -> PublicSet:
    """Return a public set by name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for public_set in CATALOGUE:
        if public_set.name == name:
            return public_set
    raise InputError(f"no public set is called {name!r}; there are {', '.join(s.name for s in CATALOGUE)}")
