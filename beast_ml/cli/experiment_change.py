"""The options of `beast experiment create` as a change of an experiment: what is not given stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beast_ml.cli.output import one_of
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.experiments.definitions import Guardrail, Variant, VariantCache

__all__ = ["dropped_or_given", "guardrails_of", "variant_text", "variants_of"]


def dropped_or_given(option: str, value: Any, drop_option: str, drop: bool, dropped: Any) -> Any:
    """Return what is asked for: the value, what stands for none, or UNSET where nothing was said.

    Raises
    ------
    InputError
        If both were.
    """
    from msgspec import UNSET

    if drop and value is not None:
        raise InputError(f"give {option} or {drop_option}: one of them")
    if drop:
        return dropped
    return UNSET if value is None else value


def guardrails_of(texts: Sequence[str] | None) -> tuple[Guardrail, ...] | None:
    """Return the guardrails in texts such as "errors=0.02"; None where there are no texts.

    Raises
    ------
    InputError
        If one is none.
    """
    from beast_ml.experiments.definitions import Guardrail
    from beast_ml.experiments.log_metric_names import LOG_METRICS

    guardrails = []
    for text in texts or ():
        what, _, harm = text.partition("=")
        guardrails.append(Guardrail(metric=one_of("--guardrail", what, LOG_METRICS), most_harm=_number(harm, text)))
    return tuple(guardrails) or None


def variants_of(
    texts: Sequence[str] | None, control_share: float | None, caches: Sequence[str] | None = None
) -> tuple[Variant, ...] | None:
    """Return the control and the variants in texts such as "new=challenger:0.1"; None where there are no texts.

    Parameters
    ----------
    control_share
        None: what the others leave.
    caches
        How variants are answered out of the cache, as "new=none", "new=equal", or "new=3600", the oldest in seconds.

    Raises
    ------
    InputError
        If one is none, or there is a share of the control of no variants.
    """
    from msgspec.structs import replace

    from beast_ml.experiments.definitions import Variant

    variants = [_variant(text) for text in texts or ()]
    if not variants and control_share is not None:
        raise InputError("--control-share goes with the shares of the others: give every --variant, too")
    if not variants and caches:
        raise InputError("--cache says how a variant is answered: give every --variant, too")
    if not variants:
        return None
    left = max(1.0 - sum(each.share for each in variants), 0.0)
    share = left if control_share is None else control_share
    variants.insert(0, Variant(name="control", policy="champion", share=share))
    by_name = dict(map(_cache, caches or ()))
    unknown = sorted(set(by_name) - {each.name for each in variants})
    if unknown:
        raise InputError(f"`--cache` names {unknown[0]!r}, which is no variant of this experiment")
    return tuple(replace(each, cache=by_name.get(each.name)) for each in variants)


def variant_text(variant: Variant) -> str:
    """Return a variant in a few words."""
    told = [variant.policy]
    if variant.cache is not None and variant.cache.hits != "all":
        told.append("no cache" if variant.cache.hits == "none" else "equal requests from the cache")
    if variant.cache is not None and variant.cache.max_age_s is not None:
        told.append(f"nothing from the cache after {variant.cache.max_age_s:g} s")
    return f"{variant.name} {variant.share:.3g} ({', '.join(told)})"


def _cache(text: str) -> tuple[str, VariantCache]:
    from beast_ml.experiments.definitions import VariantCache

    name, _, how = text.partition("=")
    if not (name and how):
        raise InputError(f"`--cache` == {text!r}, must be NAME=none, NAME=equal, or NAME=SECONDS")
    if how in ("none", "equal"):
        return name, VariantCache(hits="none" if how == "none" else "equal")
    return name, VariantCache(max_age_s=_number(how, text))


def _variant(text: str) -> Variant:
    from beast_ml.experiments.definitions import Variant

    name, _, rest = text.partition("=")
    policy, _, share = rest.partition(":")
    if not (name and policy and share):
        raise InputError(f"`--variant` == {text!r}, must be NAME=POLICY:SHARE, such as new=challenger:0.1")
    return Variant(name=name, policy=policy, share=_number(share, text))


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} in {whole!r} is no number") from None
