"""The loop's surroundings as they are: a log store, the MLflow registry, and the experiments that servers follow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.domain import Price
from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.durable import write_durably
from beast_ml.errors import BeastError, DataError, RegistryError
from beast_ml.events import events
from beast_ml.experiments.definitions import Experiment, Variant
from beast_ml.experiments.experiments_file import read_experiments
from beast_ml.experiments.followed import FollowedExperiments
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.sample import MOST_REQUESTS
from beast_ml.logs.store import LogStore
from beast_ml.operations.drift.advice import Finding, find_causes
from beast_ml.operations.drift.monitor import DriftMonitor
from beast_ml.operations.drift.report import feed_log
from beast_ml.operations.learning_loop.compare import told_apart
from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.drifted import changed_since, learn_because, stale_since
from beast_ml.operations.learning_loop.log_readings import (
    Apart,
    Served,
    broken_rows,
    compared_in,
    count_new,
    learnable_in,
    shadowed_in,
    without_stale,
)
from beast_ml.operations.learning_loop.promise import is_promising
from beast_ml.operations.learning_loop.replay import replay
from beast_ml.operations.learning_loop.state_file import DRIFT_FILE
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.operations.learning_loop.surroundings import Collected, Compared, Judged, Shadowed
from beast_ml.operations.log_training import train_from_log
from beast_ml.policy.learner import RouterLearner
from beast_ml.predictors.contract import Floats
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.evidence import Interval
from beast_ml.registry.gates import Gates, judge
from beast_ml.registry.loop_runs import (
    TriedAlias,
    champion_version,
    clear_alias,
    close_cycle,
    close_killed,
    digest_of,
    point_alias,
    settle_champions,
    tag_cycle,
    trained_version,
)
from beast_ml.registry.promotion import promote, rollback
from beast_ml.registry.recorded_evidence import amend_evidence, recorded_evidence
from beast_ml.registry.resolve import resolve

__all__ = ["LiveSurroundings"]

_REPLAYED: Final = 500
_CANDIDATE: Final = "candidate"
_FORMER: Final = "former"
_CONTROL: Final = "control"


@dataclass
class LiveSurroundings:
    """A deployment.

    Parameters
    ----------
    store, quarantine
        The log, and where rows lie that could not be taken in.
    tracking, gates
        The registry, and what it asks of a champion.
    experiments
        File of the experiments that the servers follow.
    folder
        Where the drift monitor's state is kept.
    config
        The shares that are tried.
    learner, prices, seed
        How candidates are learnt.
    requests
        A candidate learns from so many at most, half of them the champion's own where the log has them; 0: all.
    label_delay
        The drift monitor reads a request when it is that old: labels that come later are not seen by it.
    say
        Called with what is being done.
    clock
        Says what time it is.
    """

    store: LogStore
    quarantine: Path
    tracking: TrackingConfig
    experiments: Path
    folder: Path
    gates: Gates = field(default_factory=Gates)
    config: LoopConfig = field(default_factory=LoopConfig)
    learner: RouterLearner = field(default_factory=RouterLearner)
    prices: Mapping[str, Price] = field(default_factory=dict)
    seed: int = 0
    requests: int = MOST_REQUESTS
    label_delay: timedelta = timedelta(days=1)
    clock: Clock = field(default_factory=SystemClock)
    say: Callable[[str], None] = lambda _: None

    def now(self) -> datetime:
        """Return the time."""
        return self.clock.now()

    def champion(self) -> int | None:
        """Return the version that serves."""
        return champion_version(self.tracking)

    def collect(self, since: datetime | None, until: datetime | None) -> Collected:
        """Return what the log holds of the champion's own decisions; without a champion, of anybody's."""
        now, champion = self.now(), self.champion()
        policy = None if champion is None else digest_of(self.tracking, champion)
        findings = self._drift(now)
        stale = stale_since(findings)
        counted = count_new(self.store, since, until or now, now, policy, true_from=max(stale.values(), default=None))
        return replace(
            counted,
            n_broken=broken_rows(self.quarantine, since),
            drifted=learn_because(findings, since),
            stale=stale,
        )

    def changed(self, since: datetime) -> tuple[str, ...]:
        """Return models whose outcomes are other ones than they were, by what was told after a time."""
        return changed_since(self._drift(self.now()), since)

    def train(self, state: LoopState) -> int:
        """Learn from whatever has propensities; the evidence is of the champion's own decisions.

        What a champion that explores has no need to try any longer, earlier ones have: without their requests, its
        successors would know ever fewer models. Models that are none of the champion's candidates, such as retired ones
        and those that somebody else's experiment tries, stay out.
        """
        name = _training_name(state)
        close_killed(self.tracking, name)
        known = trained_version(self.tracking, name)
        if known is not None:
            return known
        champion = None if state.champion is None else digest_of(self.tracking, state.champion)
        models = None if state.champion is None else self._bundle(state.champion).manifest.models
        true_from = max(state.stale.values(), default=None)
        sample = learnable_in(
            self.store, state.rows_until, champion, models, self.requests, salt=name, true_from=true_from
        )
        warning = sample.warning("`learning.requests` in mlflow.yaml")
        if warning is not None:
            self.say(warning)
        logged = sample.logged.priced(self.prices)
        result = train_from_log(
            without_stale(logged if models is None else _among(logged, models), state.stale),
            tracking=self.tracking,
            learner=self.learner,
            policy_version=champion,
            seed=self.seed,
            name=name,
            source=str(self.store.path),
            drawn_from=sample.n_usable,
            say=self.say,
        )
        return result.registered.version

    def judge(self, version: int) -> Judged:
        """Put the recorded evidence before the gates, and let the version decide the latest requests once more."""
        broken = self._replay(version)
        if broken is not None:
            return Judged(False, broken)
        evidence = recorded_evidence(version, self.tracking)
        report = judge(evidence, self.gates)
        sentence = "the gates pass, and it decides the latest requests"
        if not report.passed:
            sentence = f"it does not pass the gates: {report.failures()}"
        return Judged(report.passed, sentence, is_promising(evidence, report))

    def shadow(self, state: LoopState) -> Shadowed:
        """Let the candidate decide all requests beside the champion."""
        candidate = _version(state.candidate)
        self._claim("shadow", candidate, _id(state, "shadow"))
        self._run(Experiment(id=_id(state, "shadow"), shadow="shadow"))
        return shadowed_in(self.store, state.entered_at, digest_of(self.tracking, candidate))

    def canary(self, state: LoopState) -> Compared:
        """Let the candidate serve its share of the users."""
        candidate = _version(state.candidate)
        self._claim("challenger", candidate, _id(state, "canary"))
        self._stop(_id(state, "shadow"))
        self._serve_beside(state, "canary", _CANDIDATE, self.config.canary_share)
        apart = self._apart(candidate, _version(state.champion))
        return compared_in(self.store, _id(state, "canary"), _CANDIDATE, _CONTROL, apart)

    def promote(self, state: LoopState) -> str:
        """Stop the canary, and promote through the gates: what live requests proved counts as evidence."""
        self._stop(_id(state, "canary"))
        candidate = _version(state.candidate)
        if state.proof is not None and state.champion is not None:
            found = recorded_evidence(candidate, self.tracking)
            gain = Interval(state.proof.effect, state.proof.low, state.proof.high)
            proven = msgspec.structs.replace(
                found,
                quality_gain=gain,
                n_test_queries=max(found.n_test_queries, state.proof.n_units),
                logging_policy=digest_of(self.tracking, state.champion),
            )
            amend_evidence(candidate, self.tracking, proven)
        return promote(self.tracking, candidate, self.gates).sentence

    def watch(self, state: LoopState) -> Compared:
        """Let the former champion serve its share of the users."""
        former = _version(state.champion)
        self._claim("challenger", former, _id(state, "watch"))
        self._serve_beside(state, "watch", _FORMER, self.config.watch_share)
        apart = self._apart(_version(state.candidate), former)
        return compared_in(self.store, _id(state, "watch"), _CONTROL, _FORMER, apart)

    def roll_back(self, state: LoopState) -> str:
        """Make the former champion champion again."""
        self._stop(_id(state, "watch"))
        return rollback(self.tracking).sentence

    def conclude(self, state: LoopState) -> None:
        """Stop the cycle's experiments, take its aliases away, and close its run."""
        if state.verdict == "rolled back":
            settle_champions(self.tracking)  # done again, the roll-back finds the former champion there, and stops
        for step in ("shadow", "canary", "watch"):
            self._stop(_id(state, step))
        tried = [version for version in (state.candidate, state.champion) if version is not None]
        if state.candidate is not None:
            clear_alias(self.tracking, "shadow", tried)
            clear_alias(self.tracking, "challenger", tried)
        close_cycle(self.tracking, _cycle(state))

    def record(self, before: LoopState, after: LoopState) -> None:
        """Tag the cycle's run, and tell who listens."""
        at = after.entered_at.isoformat(timespec="seconds")
        tags = {f"step {before.step}": f"{at}: {after.reason}"}
        if before.verdict is not None:
            tags["verdict"] = f"{before.verdict}: {before.reason}"
        if before.candidate is not None:
            tags["candidate"] = str(before.candidate)
        tag_cycle(self.tracking, _cycle(before), tags)
        events.info(
            "learning_loop.moved",
            cycle=before.cycle,
            left=before.step,
            entered=after.step,
            candidate=after.candidate,
            reason=after.reason,
        )

    def _drift(self, now: datetime) -> tuple[Finding, ...]:
        """Let the drift monitor read on, and return what it has found."""
        path = self.folder / DRIFT_FILE
        monitor = _read_monitor(path) or DriftMonitor()
        since = None if monitor.last_at is None else monitor.last_at + timedelta(microseconds=1)
        if feed_log(monitor, self.store, since, now - self.label_delay):
            write_durably(path, json.dumps(monitor.state()).encode())
        models = {key.model for key, _ in monitor.streams() if key.signal == "quality"}
        return find_causes(monitor.alarms.values(), models)

    def _replay(self, version: int) -> str | None:
        """Return what keeps a version from deciding the latest requests; None where nothing does."""
        prompts = self.store.sql(
            "SELECT prompt FROM log WHERE prompt IS NOT NULL AND chosen_model IS NOT NULL "  # noqa: S608 - a constant
            f"ORDER BY received_at DESC LIMIT {_REPLAYED}"
        )["prompt"].to_pylist()
        try:
            replay(self._bundle(version), prompts)
        except BeastError as error:
            return f"it cannot decide the latest {len(prompts):,} requests: {error}"
        return None

    def _apart(self, candidate: int, other: int) -> Apart:
        """Return what tells of requests how far two versions would have decided differently, exploration included."""
        bundles = [self._bundle(version) for version in (candidate, other)]

        def apart(served: Served) -> tuple[Floats, Floats]:
            mine, theirs = (replay(bundle, served.prompts, served.contexts, served.tenants) for bundle in bundles)
            by_mine, by_theirs = mine.probability_of(served.chosen), theirs.probability_of(served.chosen)
            own = np.where(served.by_candidate, by_mine, by_theirs)
            against = np.where(served.by_candidate, by_theirs, by_mine)
            differ, share = mine.differs_from(theirs), np.zeros(len(own))
            made = np.array([name is not None for name in served.chosen], dtype=bool)
            share[made] = told_apart(
                own[made], against[made], served.propensity[made], served.by_candidate[made], differ[made]
            )
            return share, np.clip(theirs.expected_quality(), 0.0, 1.0)

        return apart

    def _bundle(self, version: int) -> RouterBundle:
        return read_bundle(resolve(f"models:/{ROUTER}/{version}", self.tracking))

    def _serve_beside(self, state: LoopState, step: str, name: str, share: float) -> None:
        control = Variant(name=_CONTROL, policy="champion", share=1.0 - share)
        self._run(
            Experiment(id=_id(state, step), variants=(control, Variant(name=name, policy="challenger", share=share)))
        )

    def _claim(self, alias: TriedAlias, version: int, name: str) -> None:
        """Point an alias at a version, unless somebody else's experiment goes by it."""
        for each in read_experiments(self.experiments).running():
            used = {each.shadow, *(variant.policy for variant in each.variants)}
            if each.id != name and alias in used:
                raise RegistryError(
                    f"experiment {each.id!r} goes by the alias {alias!r}, which the loop needs for version {version}: "
                    "stop it (`beast experiment stop`), or let the loop wait until it is over"
                )
        point_alias(self.tracking, alias, version)

    def _run(self, experiment: Experiment) -> None:
        """Start an experiment, unless it runs already or was stopped by somebody: a stopped one stays stopped."""
        if all(each.id != experiment.id for each in read_experiments(self.experiments).experiments):
            FollowedExperiments(self.experiments).put(experiment)

    def _stop(self, name: str) -> None:
        for each in read_experiments(self.experiments).experiments:
            if each.id == name and each.status == "running":
                FollowedExperiments(self.experiments).put(msgspec.structs.replace(each, status="stopped"))


def _among(logged: LoggedOutcomes, models: Sequence[str]) -> LoggedOutcomes:
    """Return the requests that went to some models, as far as the log has seen them."""
    return logged.pool([name for name in models if name in logged.matrix.models])


def _read_monitor(path: Path) -> DriftMonitor | None:
    try:
        return DriftMonitor.from_state(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} holds no state of the drift monitor ({error}): remove it to begin anew") from error


def _cycle(state: LoopState) -> str:
    return f"cycle {state.cycle}"


def _id(state: LoopState, step: str) -> str:
    return f"{_training_name(state)}-{step}"


def _training_name(state: LoopState) -> str:
    """Return a name that no other cycle has, not even one of the same number, after the state was removed."""
    assert state.rows_until is not None  # noqa: S101  written with the first step
    return f"loop-{state.cycle}-{state.rows_until:%Y%m%dT%H%M%S}"


def _version(version: int | None) -> int:
    assert version is not None  # noqa: S101  written before the step that reads it
    return version
