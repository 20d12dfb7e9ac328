"""Move the champion: forward through the gates, back without asking."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.errors import InputError, PromotionRefusedError, RegistryError
from beast_ml.events import events
from beast_ml.registry.champions import Champions, crown, read_champions, step_back
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect, translated
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.gates import GateReport, Gates, judge
from beast_ml.registry.models import EVIDENCE_TAG, KIND_TAG, VERDICT_TAG
from beast_ml.registry.resolve import DIGEST_TAG, resolve
from beast_ml.registry.stand_in import SINGLE, STANDS_IN_FOR, get_version, stand_in

__all__ = ["Promotion", "promote", "rollback"]

_PASSED: Final = "passed"


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback came to.

    Parameters
    ----------
    version
        The version of ``beast-router`` that is champion now.
    previous
        The version that a rollback would go to, or None.
    kind
        ``router``, or ``single`` when the champion always answers with one model.
    changed
        Whether the champion is another one than before.
    sentence
        What happened, for people.
    evidence, report
        What was judged, and the gates; None after a rollback, which judges nothing.
    """

    version: int
    previous: int | None
    kind: str
    changed: bool
    sentence: str
    evidence: Evidence | None = None
    report: GateReport | None = None

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "champion": self.version,
            "previous": self.previous,
            "kind": self.kind,
            "changed": self.changed,
            "sentence": self.sentence,
            "evidence": msgspec.to_builtins(self.evidence),
            "gates": msgspec.to_builtins(self.report.checks) if self.report else None,
        }


def promote(config: TrackingConfig, version: int | None = None, gates: Gates | None = None) -> Promotion:
    """Make a router champion if its evidence passes the gates.

    One that does not pass never replaces a router that did. Where no proven router serves, the model that is best on
    its own becomes champion instead, as a bundle that always answers with it; not so when the evidence comes from a
    log, because the policy that wrote the log may be better than any single model. Verdict, gates and evidence are
    written to the version before the alias moves; the alias moves by a single write, to a bundle that was just
    verified, so there is a whole champion at any time. Repeating a promotion changes nothing.

    Parameters
    ----------
    config
        The store.
    version
        Version of ``beast-router``; None takes the newest that a training registered.
    gates
        The thresholds; None takes the defaults.

    Raises
    ------
    PromotionRefusedError
        If the gates do not pass and a proven router is champion.
    RegistryError
        If there is no such version, or it carries no evidence.
    RegistryUnavailableError
        If the store does not answer.
    BundleIntegrityError
        If the version's files do not match their manifest; the champion stays.
    """
    client = connect(config)
    champions = read_champions(client, config)
    candidate = _candidate(client, config, version)
    number = int(candidate.version)
    evidence = _evidence(candidate)
    report = judge(evidence, gates or Gates())
    champion = get_version(client, config, champions.current) if champions.current is not None else None
    proven = champion is not None and _is_proven_router(champion)

    if proven and champions.current == number:
        sentence = f"version {number} is the champion already: {_figures(evidence)}"
        line = crown(client, config, champions, number)  # ends what a crash may have left half done
        return _promotion(candidate, champions, line, sentence, evidence, report)
    if report.passed and champion is not None and proven and _measured_against_another(evidence, champion):
        sentence = (
            f"version {number} is not promoted, version {champion.version} stays champion: the log that {number} was "
            "measured on was not written by the champion, so they were never compared; train on the champion's own "
            "log, or on outcomes"
        )
        stays = _promotion(champion, champions, champions, sentence, evidence, report)
        raise PromotionRefusedError(sentence, stays.to_dict())
    if report.passed:
        _record(client, config, candidate, report, _PASSED)
        line = _crown(client, config, champions, number)
        events.info("promotion.passed", version=number, previous=champions.current)
        sentence = f"version {number} is the champion: routing pays here, {_figures(evidence)}"
        return _promotion(candidate, champions, line, sentence, evidence, report)
    _record(client, config, candidate, report, f"refused: {report.failures()}")
    events.info("promotion.refused", version=number, failures=report.failures())
    if champion is not None and (proven or evidence.reference == "logging_policy"):
        sentence = f"version {number} is not promoted, version {champion.version} stays champion: {report.failures()}"
        stays = _promotion(champion, champions, champions, sentence, evidence, report)
        raise PromotionRefusedError(sentence, stays.to_dict())
    if evidence.reference == "logging_policy":
        sentence = f"version {number} is not promoted, keep the policy that wrote the log: {report.failures()}"
        nothing = _promotion(candidate, champions, champions, sentence, evidence, report)
        raise PromotionRefusedError(sentence, nothing.to_dict())
    single = candidate if candidate.tags.get(KIND_TAG) == SINGLE else stand_in(client, config, candidate, evidence)
    line = _crown(client, config, champions, int(single.version))
    finding = "is not proven" if report.checks[0].passed else "does not pay"
    sentence = (
        f"routing {finding} here ({report.failures()}), so the champion, version {single.version}, always answers "
        f"with {evidence.best_single_model}, the best single model"
    )
    return _promotion(single, champions, line, sentence, evidence, report)


def rollback(config: TrackingConfig) -> Promotion:
    """Make the previous champion champion again; repeated, it walks back through all that served.

    Raises
    ------
    RegistryError
        If there is no earlier champion.
    RegistryUnavailableError
        If the store does not answer.
    BundleIntegrityError
        If the earlier champion's files do not match their manifest; the champion stays.
    """
    client = connect(config)
    champions = read_champions(client, config)
    if champions.before:
        _verify(config, champions.before[-1])
    line = step_back(client, config, champions)
    restored = get_version(client, config, line.line[-1])
    left = f"; version {champions.current} was taken back" if champions.current is not None else ""
    return _promotion(restored, champions, line, f"version {restored.version} is the champion again{left}", None, None)


def _candidate(client: Any, config: TrackingConfig, version: int | None) -> Any:
    if version is not None:
        return get_version(client, config, version)
    with translated(config):
        found = client.search_model_versions(f"name = '{ROUTER}'")
    trained = [candidate for candidate in found if STANDS_IN_FOR not in candidate.tags]
    if not trained:
        raise RegistryError(f"the registry at {config.shown} holds no version of {ROUTER}: train one first")
    return max(trained, key=lambda candidate: int(candidate.version))


def _evidence(candidate: Any) -> Evidence:
    text = candidate.tags.get(EVIDENCE_TAG)
    if not text:
        raise RegistryError(
            f"version {candidate.version} of {ROUTER} carries no evidence, so nothing can be judged: train it again"
        )
    try:
        return Evidence.from_json(text)
    except InputError as error:
        raise RegistryError(f"version {candidate.version} of {ROUTER}: {error}") from error


def _measured_against_another(evidence: Evidence, champion: Any) -> bool:
    """Whether the evidence compares with the policy of a log that the champion did not write."""
    return evidence.reference == "logging_policy" and evidence.logging_policy != champion.tags.get(DIGEST_TAG)


def _is_proven_router(version: Any) -> bool:
    return bool(version.tags.get(KIND_TAG) != SINGLE and version.tags.get(VERDICT_TAG) == _PASSED)


def _record(client: Any, config: TrackingConfig, version: Any, report: GateReport, verdict: str) -> None:
    tags = {}
    for check in report.checks:
        outcome = "passed" if check.passed else "FAILED"
        tags[f"gate: {check.name}"] = f"{outcome}: {check.got}; needed {check.needed}"
    tags[VERDICT_TAG] = verdict  # last: a version that says "passed" carries all that it passed
    with translated(config):
        for name, value in tags.items():
            client.set_model_version_tag(ROUTER, version.version, name, value)
        client.set_tag(version.run_id, VERDICT_TAG, verdict)  # so that the list of runs can be filtered by it


def _crown(client: Any, config: TrackingConfig, champions: Champions, version: int) -> Champions:
    _verify(config, version)
    return crown(client, config, champions, version)


def _verify(config: TrackingConfig, version: int) -> None:
    with tempfile.TemporaryDirectory(prefix="beast-verify-") as scratch:
        resolve(f"models:/{ROUTER}/{version}", config, Path(scratch))


def _promotion(
    version: Any,
    before: Champions,
    after: Champions,
    sentence: str,
    evidence: Evidence | None,
    report: GateReport | None,
) -> Promotion:
    return Promotion(
        version=int(version.version),
        previous=after.before[-1] if after.before else None,
        kind=version.tags.get(KIND_TAG, "router"),
        changed=before.current != after.current,
        sentence=sentence,
        evidence=evidence,
        report=report,
    )


def _figures(evidence: Evidence) -> str:
    """Return the gain, and the saving where there is one, for the end of a sentence."""
    return ", ".join(
        f"{name} {value}" for name, value in evidence.rows() if name.startswith(("quality gain", "cost saving"))
    )
