"""What the loop does in each state: the one place where it is decided whether a candidate gets further.

Pure of files and services: `Surroundings` sees and does. The simulated year of the benchmarks runs this very code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from beast_ml.errors import NotEnoughDataError, PromotionRefusedError
from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.states import LoopState, Proof, Step
from beast_ml.operations.learning_loop.surroundings import Collected, Compared, Surroundings
from beast_ml.operations.learning_loop.validation import find_problems

__all__ = ["Waiting", "advance"]


_NAMED: Final = 3


@dataclass(frozen=True)
class Waiting:
    """Nothing to do yet, and why.

    Parameters
    ----------
    reason
        In a sentence.
    """

    reason: str


def advance(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    """Do what is to be done in a state, and return the next one, or what is being waited for.

    Doing it again after it was cut short, before the next state was written, comes to the same.
    """
    return _STEPS[state.step](state, around, config)


def _collect(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    now = around.now()
    found = around.collect(state.learnt_until, None)
    if found.n_labelled < config.min_labelled:
        return Waiting(_too_few(found, config))
    due = (state.learnt_until or state.entered_at) + config.every
    if state.cycle > 1 and now < due and not found.drifted:
        return Waiting(f"the next cycle begins {due:%Y-%m-%d %H:%M} UTC, or when something drifts")
    why = f"{found.n_labelled:,} new labelled requests"
    if found.drifted:
        why += f"; {'; '.join(found.drifted)}"
    return state.moved(
        "validate",
        why,
        now,
        champion=around.champion(),
        rows_until=found.until,
        stale={**state.stale, **found.stale},
    )


def _validate(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    problems = find_problems(around.collect(state.learnt_until, state.rows_until), config)
    if problems:
        return _rejected(state, around, f"the data may not be learnt from: {'; '.join(problems)}")
    return state.moved("train", "the data are fit to learn from", around.now())


def _train(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    try:
        version = around.train(state)
    except NotEnoughDataError as error:
        return _rejected(state, around, str(error))
    return state.moved("evaluate", f"version {version} was learnt", around.now(), candidate=version)


def _evaluate(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    judged, now = around.judge(_candidate(state)), around.now()
    # Without a champion nothing of ours serves: there is nobody to shadow, or to be compared with.
    if judged.passed:
        return state.moved("promote" if state.champion is None else "shadow", judged.sentence, now, proven=True)
    if judged.promising and state.champion is not None:
        return state.moved("shadow", f"the log cannot tell ({judged.sentence}), live requests may", now)
    return _rejected(state, around, judged.sentence)


def _shadow(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    outdated = _outdated(state, around)
    if outdated is not None:
        return outdated
    seen = around.shadow(state)
    if seen.n_asked < config.shadow_requests:
        return _wait(state, around, config, f"{seen.n_asked:,} of {config.shadow_requests:,} requests shadowed")
    if seen.n_decided == 0:
        return _rejected(
            state,
            around,
            f"it decided none of {seen.n_asked:,} shadowed requests: servers cannot load it (`GET /readyz` says what "
            "they follow), or it fails on each",
        )
    undecided = seen.n_asked - seen.n_decided
    if undecided > config.max_undecided_share * seen.n_asked:
        return _rejected(state, around, f"it left {undecided:,} of {seen.n_asked:,} shadowed requests undecided")
    return state.moved("canary", f"it decided {seen.n_decided:,} of {seen.n_asked:,} shadowed requests", around.now())


def _canary(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    outdated = _outdated(state, around)
    if outdated is not None:
        return outdated
    compared = around.canary(state)
    told = _told(compared)
    if compared.harm is not None:
        return _rejected(state, around, f"it does harm to live requests: {compared.harm}")
    if compared.high < 0.0:
        return _rejected(state, around, f"it is worse on live requests: {told}")
    if min(compared.n_candidate, compared.n_other) >= config.canary_units:
        proof = Proof(effect=compared.effect, low=compared.low, high=compared.high, n_units=compared.n_candidate)
        if compared.low > 0.0:
            return state.moved("promote", f"it is better on live requests: {told}", around.now(), proof=proof)
        if state.proven and compared.low > -config.canary_margin:
            reason = f"it is not worse on live requests by {config.canary_margin:g}: {told}"
            return state.moved("promote", reason, around.now())
    return _wait(state, around, config, f"live requests do not tell yet: {told}")


def _promote(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    serving, candidate = around.champion(), _candidate(state)
    if serving not in (state.champion, candidate):
        return _rejected(
            state, around, f"version {serving} became champion meanwhile, and the candidate was never compared with it"
        )
    try:
        sentence = around.promote(state)
    except PromotionRefusedError as error:
        return _rejected(state, around, str(error))
    if state.champion is None:
        return state.moved("conclude", sentence, around.now(), verdict="promoted")
    return state.moved("watch", sentence, around.now())


def _watch(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    serving, now = around.champion(), around.now()
    if serving != _candidate(state):
        reason = f"version {serving} became champion meanwhile: somebody else decided"
        return state.moved("conclude", reason, now, verdict="promoted")
    compared = around.watch(state)
    told = _told(compared)
    if compared.harm is not None:
        return state.moved("roll_back", f"it does harm since it serves: {compared.harm}", now)
    if compared.high < 0.0:
        return state.moved("roll_back", f"it is worse than version {state.champion} was: {told}", now)
    if now < state.entered_at + config.watch_for:
        return Waiting(f"watched until {state.entered_at + config.watch_for:%Y-%m-%d %H:%M} UTC: {told}")
    return state.moved(
        "conclude",
        f"it serves, and nothing shows it to be worse than version {state.champion}: {told}",
        now,
        verdict="promoted",
    )


def _roll_back(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    reason = state.reason
    if around.champion() == _candidate(state):
        reason = f"{state.reason}; {around.roll_back(state)}"
    return state.moved("conclude", reason, around.now(), verdict="rolled back")


def _conclude(state: LoopState, around: Surroundings, config: LoopConfig) -> LoopState | Waiting:
    around.conclude(state)
    return state.concluded(around.now())


def _outdated(state: LoopState, around: Surroundings) -> LoopState | None:
    """Return the end of a candidate that learnt from outcomes that are no longer true; None where they are."""
    assert state.rows_until is not None  # noqa: S101  written with the first step
    changed = around.changed(state.rows_until)
    if not changed:
        return None
    return _rejected(state, around, f"what it learnt is no longer true, another is learnt: {'; '.join(changed)}")


def _wait(state: LoopState, around: Surroundings, config: LoopConfig, reason: str) -> LoopState | Waiting:
    if around.now() < state.entered_at + config.longest:
        return Waiting(reason)
    return _rejected(state, around, f"given up after {config.longest.days} days: {reason}")


def _rejected(state: LoopState, around: Surroundings, reason: str) -> LoopState:
    return state.moved("conclude", reason, around.now(), verdict="rejected")


def _candidate(state: LoopState) -> int:
    assert state.candidate is not None  # noqa: S101  written with the step that is over
    return state.candidate


def _too_few(found: Collected, config: LoopConfig) -> str:
    """Return how many labels are waited for, and what may keep them from coming."""
    told = f"{found.n_labelled:,} new labelled requests, {config.min_labelled:,} are needed"
    if found.labelled_of_others:
        others = [f"{version[:12] or 'no known version'}: {n:,}" for version, n in found.labelled_of_others.items()]
        named = ", ".join([*others[:_NAMED], "..."] if len(others) > _NAMED else others)
        told += (
            f"; {sum(found.labelled_of_others.values()):,} labelled ones were decided by other policies ({named}), and "
            "only those count that the champion decided: let it serve (`beast serve`), or log its version as "
            "`policy_version`"
        )
    unlabelled = found.n_requests - found.n_in_future - found.n_labelled
    if unlabelled >= config.min_labelled:
        told += f"; {unlabelled:,} more have no quality label: send feedback (`POST /v1/feedback`, `beast logs ingest`)"
    if found.n_in_future:
        told += f"; {found.n_in_future:,} were received in the future: set the clocks"
    return told


def _told(compared: Compared) -> str:
    return (
        f"{compared.effect:+.3f} [{compared.low:+.3f}, {compared.high:+.3f}] on {compared.n_candidate:,} units "
        f"against {compared.n_other:,}"
    )


_STEPS: Final[Mapping[Step, Callable[[LoopState, Surroundings, LoopConfig], LoopState | Waiting]]] = {
    "collect": _collect,
    "validate": _validate,
    "train": _train,
    "evaluate": _evaluate,
    "shadow": _shadow,
    "canary": _canary,
    "promote": _promote,
    "watch": _watch,
    "roll_back": _roll_back,
    "conclude": _conclude,
}
