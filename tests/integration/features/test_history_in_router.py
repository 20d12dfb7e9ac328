"""A router that goes by what was observed: from a log through training and a bundle to live decisions."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from beast_ml.bundle.manifest import MANIFEST, Manifest, file_sha256, verify
from beast_ml.bundle.read import read_bundle
from beast_ml.bundle.write import always_single, write_bundle
from beast_ml.domain import Objective
from beast_ml.errors import BundleError, InputError, UnknownModelError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.history import HistorySpec, HistoryState, MeansState, to_us
from beast_ml.features.history_replay import LoggedHistory, logged_history
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import FittedRouter, RouterLearner
from beast_ml.policy.spec import PolicySpec
from beast_ml.serving.router import Router
from beast_ml.testing.router_fixtures import QUICK

START = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = HistorySpec(("left", "right"), ("quality", "log_latency"), ("tenant", "kind"), prior_strength=5.0)
ROUTED = PolicySpec("router", "left", Objective(willingness_to_pay=1.0))


class SetClock:
    """Shows the time it was set to."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def make_log(first: int, n: int) -> LoggedOutcomes:
    """Return requests a minute apart, uniformly routed; even tenants are served well by "left", odd ones by "right".

    Nothing in a prompt tells which; answers take two seconds, labels come after ten minutes.
    """
    rng = np.random.default_rng(first)
    tenants, chosen, rows = rng.integers(0, 8, n), rng.integers(0, 2, n), np.arange(n)
    quality = (rng.random(n) < np.where(chosen == tenants % 2, 0.95, 0.1)).astype(float)
    received_at = np.datetime64(START.replace(tzinfo=None), "us") + (first + rows) * np.timedelta64(60, "s")

    def cell(values: np.ndarray | float) -> np.ndarray:
        array = np.full((n, 2), np.nan)
        array[rows, chosen] = values
        return array

    tasks = rng.choice(["chat", "code"], n)
    matrix = OutcomeMatrix(
        query_ids=np.array([f"r{first + i:05d}" for i in rows]),
        prompts=tuple(f"request number {first + i}" for i in rows),
        tasks=tasks,
        apps=np.full(n, ""),
        models=("left", "right"),
        quality=cell(quality),
        cost_usd=cell(0.001),
        input_tokens=cell(np.nan),
        output_tokens=cell(np.nan),
        latency_s=cell(2.0),
        ttft_s=cell(np.nan),
    )
    return LoggedOutcomes(
        matrix=matrix,
        candidates=np.ones((n, 2), dtype=bool),
        chosen=chosen,
        served=chosen,
        propensity=np.full(n, 0.5),
        received_at=received_at,
        tenant=tuple(f"tenant {t}" for t in tenants),
        context=tuple({"task": str(task)} for task in tasks),
        policy_version=np.full(n, "test"),
        status=np.full(n, "ok"),
        answered_at=received_at + np.timedelta64(2, "s"),
        feedback_at=received_at + np.timedelta64(600, "s"),
        n_left_out=0,
    )


@functools.cache
def trained() -> tuple[LoggedHistory, FittedRouter]:
    log = make_log(0, 700)
    history = logged_history(log, SPEC)
    return history, RouterLearner("hashing", families=QUICK, context=("task",)).fit(log.matrix, history=history)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of the trained router."""
    folder = tmp_path_factory.mktemp("history") / "bundle"
    write_bundle(trained()[1], folder, policy=ROUTED)
    return folder


def test_a_loaded_router_knows_what_was_known_when_training_ended(folder: Path) -> None:
    router = Router.load(folder)
    assert router.history is not None
    assert router.history.state() == trained()[0].end
    assert len(router.history.state().pending) == 11 + 1  # the labels of the last ten minutes, and the last answer


def test_live_decisions_are_made_of_the_rows_a_later_training_sees(folder: Path) -> None:
    history, fitted = trained()
    log = make_log(700, 40)
    offline = logged_history(log, SPEC, start=history.end)
    expected = fitted.predict(log.matrix.prompts, log.matrix.contexts(("task",)), offline.rows)
    clock = SetClock()
    router = Router.load(folder, clock=clock)
    assert router.history is not None
    answers = [(log.answered_at[i], i, "answer") for i in range(40)] + [
        (log.feedback_at[i], i, "label") for i in range(40)
    ]
    events = sorted([*answers, *((log.received_at[i], i, "request") for i in range(40))])
    for at, i, what in events:
        clock.at = START + timedelta(
            microseconds=int((at - np.datetime64(START.replace(tzinfo=None))).astype(np.int64))
        )
        tenant, kind, model = log.tenant[i], log.context[i]["task"], log.matrix.models[log.chosen[i]]
        if what == "answer":
            router.observe(model, tenant=tenant, kind=kind, failed=False, latency_s=2.0)
        elif what == "label":
            router.observe(model, tenant=tenant, kind=kind, quality=float(log.matrix.quality[i, log.chosen[i]]))
        else:
            row = router.history.features(tenant, kind, at_us=to_us(clock.at))
            assert row.tobytes() == offline.rows[i].tobytes()
            forecast = router.forecast(log.matrix.prompts[i], context=log.context[i], tenant=tenant)
            np.testing.assert_allclose([f.quality.value for f in forecast], expected.quality[i], rtol=1e-5)


def test_a_router_finds_out_which_model_suits_a_tenant_it_has_never_seen(folder: Path) -> None:
    clock = SetClock(START + timedelta(days=1))
    router = Router.load(folder, clock=clock)
    for _ in range(30):
        clock.at += timedelta(minutes=1)
        router.observe("left", tenant="new", quality=0.0)
        router.observe("right", tenant="new", quality=1.0)
        router.observe("left", tenant="newer", quality=1.0)
        router.observe("right", tenant="newer", quality=0.0)
    clock.at += timedelta(minutes=1)
    prompts = [f"request number {i}" for i in range(1000, 1010)]
    for tenant, suited in (("new", "right"), ("newer", "left")):
        assert {router.route(prompt, tenant=tenant).model for prompt in prompts} == {suited}
        assert {decision.model for decision in router.route_batch(prompts, tenant=tenant)} == {suited}


def test_an_outcome_counts_from_the_time_it_was_known(folder: Path) -> None:
    clock = SetClock(START + timedelta(days=1))
    router = Router.load(folder, clock=clock)
    before = router.forecast("request", tenant="new")
    router.observe("left", tenant="new", quality=0.0, known_at=clock.at + timedelta(minutes=5))
    assert router.forecast("request", tenant="new") == before
    clock.at += timedelta(minutes=6)
    assert router.forecast("request", tenant="new") != before


def test_observed_outcomes_do_not_pile_up_between_requests(folder: Path) -> None:
    clock = SetClock(START + timedelta(days=1))
    router = Router.load(folder, clock=clock)
    assert router.history is not None
    for _ in range(100):
        clock.at += timedelta(seconds=1)
        router.observe("left", latency_s=1.0)
    assert len(router.history.state().pending) == 1


def test_routers_of_one_bundle_observe_each_for_itself(folder: Path) -> None:
    bundle = read_bundle(folder)
    one, other = Router(bundle), Router(bundle)
    one.observe("left", quality=1.0)
    assert one.history is not None
    assert other.history is not None
    assert one.history.state() != other.history.state() == bundle.history


def test_what_cannot_be_observed_is_refused(folder: Path) -> None:
    router = Router.load(folder)
    with pytest.raises(UnknownModelError, match="no candidate 'middle'"):
        router.observe("middle", quality=1.0)
    with pytest.raises(InputError, match="no time zone"):
        router.observe("left", quality=1.0, known_at=datetime(2026, 3, 1))  # noqa: DTZ001


def test_a_router_without_history_takes_outcomes_and_ignores_them(tmp_path: Path) -> None:
    log = make_log(0, 100)
    write_bundle(RouterLearner("hashing", families=QUICK).fit(log.matrix), tmp_path / "bundle")
    router = Router.load(tmp_path / "bundle")
    before = router.forecast("request")
    router.observe("left", quality=0.0)
    assert router.history is None
    assert router.forecast("request") == before
    assert "history.json" not in verify(tmp_path / "bundle").files


def test_an_always_single_bundle_keeps_the_history(folder: Path, tmp_path: Path) -> None:
    always_single(folder, "right", tmp_path / "single")
    router = Router.load(tmp_path / "single")
    assert router.history is not None
    assert router.history.state() == trained()[0].end
    assert router.route("request").model == "right"


def reseal(folder: Path, name: str, content: bytes | None) -> None:
    """Replace or remove a file, and have the manifest agree."""
    manifest = verify(folder)
    files = dict(manifest.files)
    if content is None:
        (folder / name).unlink()
        del files[name]
    else:
        (folder / name).write_bytes(content)
        files[name] = file_sha256(folder / name)
    resealed: Manifest = msgspec.structs.replace(manifest, files=files)
    (folder / MANIFEST).write_bytes(resealed.encoded())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot load the bundle"),
        (b"{", "cannot load the bundle"),
        (b'{"means":[],"pending":[],"more":1}', "cannot load the bundle"),
        (msgspec.json.encode(HistoryState((MeansState("all", "", 0, (0.0,), (1.0,)),))), "do not fit together"),
    ],
)
def test_a_bundle_whose_history_is_not_its_own_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    write_bundle(trained()[1], tmp_path / "bundle", policy=ROUTED)
    reseal(tmp_path / "bundle", "history.json", content)
    with pytest.raises(BundleError, match=message):
        read_bundle(tmp_path / "bundle")


def test_predictions_without_rows_are_for_a_new_tenant_right_after_training(folder: Path) -> None:
    _, fitted = trained()
    router = Router.load(folder, clock=SetClock(START + timedelta(days=1)))
    for task in ("chat", "code"):
        value = router.forecast("request", context={"task": task}, tenant="never heard of")[0].quality.value
        assert fitted.predict(["request"], [{"task": task}]).quality[0, 0] == pytest.approx(value, rel=1e-5)
    assert fitted.predict([]).quality.shape == (0, 2)


def test_features_with_a_history_say_so_and_have_another_hash() -> None:
    encoder = HashingEncoder()
    plain = FeatureSpec.learn(encoder, ["a prompt"])
    followed = FeatureSpec.learn(encoder, ["a prompt"], history=SPEC)
    assert followed.names == (*plain.names, *SPEC.names)
    assert len({spec.hash for spec in (plain, followed, replace_half_life(followed))}) == 3
    past = np.arange(SPEC.dim, dtype=np.float32)
    builder = FeatureBuilder(followed, encoder)
    row = builder.row("a prompt", None, past)
    np.testing.assert_array_equal(row, [*FeatureBuilder(plain, encoder).row("a prompt"), *past])
    beside = builder.matrix(["another prompt", "a prompt"], None, np.stack([past * 2, past]))
    assert beside[1].tobytes() == row.tobytes()


def replace_half_life(spec: FeatureSpec) -> FeatureSpec:
    assert spec.history is not None
    return msgspec.structs.replace(spec, history=msgspec.structs.replace(spec.history, half_life_s=1.0))


@pytest.mark.parametrize(
    ("spec", "rows", "message"),
    [
        (SPEC, None, r"no history rows for 2 prompts, give rows of shape \(2, 12\)"),
        (SPEC, np.zeros((1, 12), np.float32), r"history rows of shape \(1, 12\) for 2 prompts"),
        (SPEC, np.zeros((2, 11), np.float32), r"history rows of shape \(2, 11\) for 2 prompts"),
        (None, np.zeros((2, 12), np.float32), "give none: these features have no history"),
    ],
)
def test_history_rows_must_be_those_the_features_are_made_of(
    spec: HistorySpec | None, rows: np.ndarray | None, message: str
) -> None:
    encoder = HashingEncoder()
    builder = FeatureBuilder(FeatureSpec.learn(encoder, ["a prompt"], history=spec), encoder)
    with pytest.raises(InputError, match=message):
        builder.matrix(["one", "two"], None, rows)


def test_a_history_of_other_requests_cannot_be_trained_on() -> None:
    log = make_log(0, 100)
    with pytest.raises(InputError, match="for 100 prompts"):
        RouterLearner("hashing", families=QUICK, context=("task",)).fit(log.matrix, history=trained()[0])


def test_a_history_by_kind_needs_leave_to_read_the_task() -> None:
    log = make_log(0, 100)
    with pytest.raises(InputError, match="read the task"):
        RouterLearner("hashing", families=QUICK).fit(log.matrix, history=logged_history(log, SPEC))
