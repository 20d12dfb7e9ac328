"""The runtime on bundle folders and on pointers that a test writes; no registry is needed for that."""

import asyncio
import gc
import shutil
import time
import weakref
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import RouterBundle
from beast_ml.domain import Price
from beast_ml.errors import (
    BundleError,
    InputError,
    NoCandidateError,
    RegistryUnavailableError,
    UnavailableError,
)
from beast_ml.registry.bundle_pointer import BundlePointer, PointerFolder, read_pointer, write_pointer
from beast_ml.registry.resolve_child import ResolvedBundle
from beast_ml.serving import first_bundle, swap
from beast_ml.serving import runtime as runtime_module
from beast_ml.serving.router import Router
from beast_ml.serving.runtime import Runtime

URI = "models:/beast-router@champion"


@pytest.fixture
def files(tmp_path):
    return PointerFolder(tmp_path / "state")


@pytest.fixture
def point(files):
    """Do what the watcher does when the alias moves."""

    def point(bundle, *, file=None, uri=URI, version=1, **changes):
        now = datetime.now(UTC)
        known = {"path": str(bundle), "version": version, "digest": verify(bundle).digest}
        known |= {"checked_at": now, "changed_at": now, "tried_at": now}
        pointer = BundlePointer(uri, **(known | changes))
        write_pointer(file or files.pointer, pointer)
        return pointer

    return point


@pytest.fixture
def swaps():
    return []


@pytest.fixture
def opened(files, swaps):
    return lambda source=URI, **more: Runtime.open(source, files.state, listener=swaps.append, **more)


def look(runtime):
    asyncio.run(runtime.look())


def decide(runtime, n=1):
    for i in range(n):
        runtime.router.route(f"What is {i} + {i}?")
        runtime.succeeded(f"What is {i} + {i}?")


def breaking(error):
    def route(*_, **__):
        raise error

    return route


def test_a_folder_serves_at_once(make_bundle, opened):
    folder = make_bundle("a")
    runtime = opened(folder)
    status = runtime.status()
    assert (status.digest, status.version) == (verify(folder).digest, None)
    assert status.registry_error is None
    assert not status.on_probation
    look(runtime)
    assert runtime.router.version == status.digest


def test_what_is_no_folder_is_refused_with_advice(tmp_path, opened):
    with pytest.raises(InputError, match="name a folder, or a registry address"):
        opened(tmp_path / "absent")
    with pytest.raises(InputError, match="is no address"):
        opened("models:/champion")
    with pytest.raises(BundleError):
        opened(tmp_path)


def test_another_bundle_in_the_folder_is_swapped_in(make_bundle, opened, swaps):
    folder = make_bundle("a")
    runtime = opened(folder)
    before = runtime.router.version
    decide(runtime)
    shutil.rmtree(folder)
    make_bundle("b").rename(folder)
    look(runtime)
    assert runtime.router.version == verify(folder).digest != before
    assert [(told.result, told.previous) for told in swaps] == [("swapped", before)]


def test_a_folder_that_is_damaged_keeps_the_old_router(make_bundle, opened, flip):
    folder = make_bundle("a")
    runtime = opened(folder)
    flip(folder)
    runtime.ask_to_reload()
    asked_at = time.time()
    look(runtime)
    assert "sha256" in runtime.status().registry_error
    runtime.router.route("still here")
    with pytest.raises(UnavailableError, match=r"the router goes on as it is: .*sha256"):
        runtime.is_current(asked_at)


def test_the_last_good_bundle_serves_without_a_registry(make_bundle, point, opened, monkeypatch):
    monkeypatch.setattr(first_bundle, "resolve_bundle_in_child", breaking(AssertionError("the registry was asked")))
    pointer = point(make_bundle("a"), version=3)
    status = opened().status()
    assert (status.digest, status.version, status.registry_error) == (pointer.digest, 3, None)


def test_without_a_good_bundle_the_registry_is_asked_once_for_all_workers(
    make_bundle, files, opened, monkeypatch, tmp_path
):
    folder, asked = make_bundle("a"), []

    def resolve(uri, config, cache):
        asked.append((uri, config.uri, cache))
        return ResolvedBundle(folder, 7, verify(folder).digest)

    monkeypatch.setattr(first_bundle, "resolve_bundle_in_child", resolve)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    for _ in range(2):
        runtime = opened(tracking_uri=store, cache=tmp_path / "cache")
        assert runtime.status().version == 7
    assert asked == [(URI, store, tmp_path / "cache")]
    assert read_pointer(files.pointer).digest == runtime.router.version


def test_without_a_bundle_and_without_a_registry_it_does_not_open(opened, monkeypatch):
    monkeypatch.setattr(first_bundle, "resolve_bundle_in_child", breaking(RegistryUnavailableError("gone")))
    with pytest.raises(RegistryUnavailableError, match="gone"):
        opened()


def test_a_last_good_bundle_that_was_tampered_with_is_not_served(make_bundle, point, opened, flip, monkeypatch):
    damaged, good = make_bundle("a"), make_bundle("b")
    point(damaged)
    flip(damaged)
    monkeypatch.setattr(
        first_bundle, "resolve_bundle_in_child", lambda *_: ResolvedBundle(good, 2, verify(good).digest)
    )
    assert opened().status().version == 2


def test_the_pointer_of_another_address_is_not_followed(make_bundle, point, opened):
    first = point(make_bundle("a"))
    runtime = opened()
    point(make_bundle("b"), uri="models:/beast-router@challenger")
    look(runtime)
    assert runtime.router.version == first.digest


def test_a_new_pointer_swaps_the_router_and_lets_the_old_one_go(make_bundle, point, opened, swaps):
    point(make_bundle("a"))
    runtime = opened()
    decide(runtime)
    old = weakref.ref(runtime.router)
    new = point(make_bundle("b"), version=2)
    look(runtime)
    assert runtime.router.version == new.digest
    assert runtime.status().on_probation
    assert old() is not None  # to go back to
    decide(runtime, 200)
    look(runtime)
    gc.collect()
    assert old() is None
    assert not runtime.status().on_probation
    (told,) = swaps
    assert (told.result, told.version, told.alias, told.reason) == ("swapped", 2, None, None)
    assert told.after_s >= 0


def test_equal_encoders_are_shared(make_bundle, point, opened):
    point(make_bundle("a"))
    runtime = opened()
    encoder = runtime.router.bundle.features.encoder
    point(make_bundle("b"))
    look(runtime)
    assert runtime.router.bundle.features.encoder is encoder


def test_prices_hold_in_each_bundle_that_comes(make_bundle, point, opened, monkeypatch):
    prices, priced = {"large": Price(1.0, 2.0)}, []

    def with_prices(self, given):
        priced.append((self.manifest.digest, given))
        return self

    monkeypatch.setattr(RouterBundle, "with_prices", with_prices)
    first = point(make_bundle("a"))
    runtime = opened(prices=prices)
    second = point(make_bundle("b"))
    look(runtime)
    assert priced == [(first.digest, prices), (second.digest, prices)]


def test_a_damaged_bundle_is_refused_with_its_reason_and_not_tried_each_time(
    make_bundle, point, opened, flip, swaps, monkeypatch
):
    point(make_bundle("a"))
    runtime = opened()
    serving = runtime.router.version
    bad = make_bundle("b")
    pointer = point(bad, version=2)
    flip(bad)
    for _ in range(3):
        look(runtime)
    assert runtime.router.version == serving
    (refusal,) = runtime.status().refused
    assert (refusal.digest, refusal.version, refusal.rolled_back) == (pointer.digest, 2, False)
    assert "sha256" in refusal.reason
    assert [(told.result, told.serving) for told in swaps] == [("refused", serving)]


def test_another_bundle_than_the_pointer_says_is_refused(make_bundle, point, opened):
    point(make_bundle("a"))
    runtime = opened()
    point(make_bundle("b"), digest="f" * 64)
    look(runtime)
    (refusal,) = runtime.status().refused
    assert "was meant: its files were replaced" in refusal.reason


def test_a_reload_tries_a_refused_bundle_again(make_bundle, point, opened, flip):
    point(make_bundle("a"))
    runtime = opened()
    bad = make_bundle("b")
    pointer = point(bad, version=2)
    flip(bad)
    look(runtime)
    flip(bad)  # mended
    look(runtime)
    assert runtime.router.version != pointer.digest
    runtime.ask_to_reload()
    look(runtime)
    assert runtime.router.version == pointer.digest
    assert runtime.status().refused == ()


def test_a_bundle_that_fails_on_a_recent_request_is_refused(make_bundle, point, opened, monkeypatch):
    point(make_bundle("a"))
    runtime = opened()
    serving = runtime.router.version
    runtime.succeeded("a request that was just served")
    route = Router.route

    def fails_on_recent(self, prompt, **more):
        if self.version != serving and prompt == "a request that was just served":
            raise ZeroDivisionError("division by zero")
        return route(self, prompt, **more)

    monkeypatch.setattr(Router, "route", fails_on_recent)
    point(make_bundle("b"))
    look(runtime)
    assert runtime.router.version == serving
    (refusal,) = runtime.status().refused
    assert "ZeroDivisionError" in refusal.reason
    assert "just served" not in refusal.reason  # what users write is not for the operators' pages


def test_a_policy_may_leave_nobody_for_what_nobody_asked_but_not_for_what_was_served(
    make_bundle, point, opened, monkeypatch
):
    def leaves_nobody(self, prompt, **more):
        if len(prompt) < 12:
            raise NoCandidateError("no candidate is good enough")
        return route(self, prompt, **more)

    route = Router.route
    first = point(make_bundle("a"))
    runtime = opened()
    runtime.succeeded("short")
    monkeypatch.setattr(Router, "route", leaves_nobody)
    point(make_bundle("b"))
    look(runtime)
    (refusal,) = runtime.status().refused
    assert refusal.reason == "no candidate is good enough"
    assert runtime.router.version == first.digest
    assert opened().router.version != first.digest


@pytest.mark.parametrize("propensity", [0.0, float("nan"), 1.5])
def test_a_decision_without_a_probability_is_refused(make_bundle, point, opened, monkeypatch, propensity):
    point(make_bundle("a"))
    runtime = opened()
    route = Router.route
    monkeypatch.setattr(
        Router, "route", lambda *args, **more: msgspec.structs.replace(route(*args, **more), propensity=propensity)
    )
    point(make_bundle("b"))
    look(runtime)
    (refusal,) = runtime.status().refused
    assert "must be in (0, 1]" in refusal.reason


def test_a_far_slower_bundle_is_refused(make_bundle, point, opened, monkeypatch):
    point(make_bundle("a"))
    runtime = opened()
    runtime.succeeded("a request")
    monkeypatch.setattr(swap, "_rehearse", lambda router, prompts: 0.5)
    point(make_bundle("b"))
    look(runtime)
    (refusal,) = runtime.status().refused
    assert "at most 5 times as long is allowed" in refusal.reason


def test_an_error_on_probation_swaps_back_and_the_bundle_stays_out(make_bundle, point, opened, swaps, files):
    first = point(make_bundle("a"))
    runtime = opened()
    decide(runtime, 200)
    look(runtime)
    broken = point(make_bundle("b"), version=2)
    look(runtime)
    decide(runtime, 10)
    assert runtime.failed(FloatingPointError("overflow"))
    status = runtime.status()
    assert (status.digest, status.version, status.on_probation) == (first.digest, 1, False)
    look(runtime)
    assert runtime.router.version == first.digest
    (refusal,) = status.refused
    assert (refusal.digest, refusal.rolled_back) == (broken.digest, True)
    assert "overflow" in refusal.reason
    assert [told.result for told in swaps] == ["swapped", "rolled_back"]
    assert opened().router.version == first.digest  # after a restart, too

    runtime.ask_to_reload()
    look(runtime)
    assert runtime.router.version == broken.digest


def test_an_error_of_a_proven_bundle_changes_nothing(make_bundle, point, opened):
    point(make_bundle("a"))
    runtime = opened()
    point(make_bundle("b"))
    look(runtime)
    decide(runtime, 200)
    serving = runtime.router.version
    assert not runtime.failed(RuntimeError("x"))
    assert runtime.router.version == serving
    assert runtime.status().refused == ()


def test_one_on_probation_is_not_gone_back_to(make_bundle, point, opened):
    proven = point(make_bundle("a"))
    runtime = opened()
    for name in ("b", "c"):
        point(make_bundle(name))
        look(runtime)
        decide(runtime, 3)
    assert runtime.failed(RuntimeError("x"))
    assert runtime.router.version == proven.digest


def test_what_served_well_before_a_restart_is_gone_back_to(make_bundle, point, opened, files):
    proven = point(make_bundle("a"))
    runtime = opened()
    decide(runtime, 200)
    look(runtime)
    assert read_pointer(files.served).digest == proven.digest
    point(make_bundle("b"), version=2)
    again = opened()
    assert again.status().version == 2
    assert again.failed(RuntimeError("x"))
    assert again.router.version == proven.digest
    assert not again.failed(RuntimeError("x"))


def test_without_one_before_it_an_error_changes_nothing(make_bundle, point, opened):
    point(make_bundle("a"))
    runtime = opened()
    assert runtime.status().on_probation
    assert not runtime.failed(RuntimeError("x"))


def test_a_bundle_that_another_worker_took_out_is_taken_out_here_too(make_bundle, point, opened):
    first = point(make_bundle("a"))
    here, there = opened(), opened()
    point(make_bundle("b"))
    look(here)
    look(there)
    assert there.failed(RuntimeError("x"))
    look(here)
    assert here.router.version == first.digest
    look(here)
    assert here.router.version == first.digest


def test_where_hardly_anybody_asks_the_old_router_goes_after_a_while(make_bundle, point, opened, monkeypatch):
    point(make_bundle("a"))
    runtime = opened()
    old = weakref.ref(runtime.router)
    point(make_bundle("b"))
    look(runtime)
    now = time.monotonic()
    monkeypatch.setattr(runtime_module.time, "monotonic", lambda: now + 3600)
    look(runtime)
    gc.collect()
    assert old() is None


def test_it_is_current_once_it_has_dealt_with_a_later_look(make_bundle, point, opened, flip):
    point(make_bundle("a"))
    runtime = opened()
    asked_at = time.time()
    runtime.ask_to_reload()
    look(runtime)
    assert not runtime.is_current(asked_at)  # the registry was not looked at since
    bad = make_bundle("b")
    point(bad)
    flip(bad)
    assert not runtime.is_current(asked_at)
    look(runtime)
    assert runtime.is_current(asked_at)  # refused, which is an answer
    assert not runtime.is_current(asked_at + 3600)


def test_a_registry_that_is_away_is_said_and_changes_nothing(make_bundle, point, opened):
    folder = make_bundle("a")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    point(folder, checked_at=hour_ago)
    runtime = opened()
    asked_at = time.time()
    point(
        folder, checked_at=hour_ago, tried_at=datetime.now(UTC) + timedelta(seconds=1), error="MLflow does not answer"
    )
    look(runtime)
    assert runtime.status().registry_error == "MLflow does not answer"
    assert runtime.status().checked_at == hour_ago
    with pytest.raises(UnavailableError, match="goes on as it is: MLflow does not answer"):
        runtime.is_current(asked_at)


def test_a_torn_pointer_is_passed_over(make_bundle, point, opened, files):
    first = point(make_bundle("a"))
    runtime = opened()
    files.pointer.write_bytes(b'{"uri": "models:/bea')
    look(runtime)
    assert runtime.router.version == first.digest


def test_aliases_are_followed_beside_it(make_bundle, point, opened, files, swaps):
    champion = make_bundle("a")
    point(champion)
    runtime = opened()
    assert runtime.router_for("challenger") is None
    runtime.follow_aliases(["challenger", "shadow"])
    asked = read_pointer(files.followed / "challenger.json")
    assert asked == BundlePointer("models:/beast-router@challenger")
    look(runtime)
    assert runtime.status().followed == {"challenger": None, "shadow": None}

    challenger = point(make_bundle("b"), file=files.followed / "challenger.json", uri=asked.uri)
    point(champion, file=files.followed / "shadow.json", uri="models:/beast-router@shadow")
    look(runtime)
    assert runtime.router_for("challenger").version == challenger.digest != runtime.router.version
    assert runtime.router_for("shadow") is runtime.router
    assert {told.alias for told in swaps} == {"challenger", "shadow"}

    runtime.follow_aliases(["shadow"])
    assert runtime.router_for("challenger") is None
    assert not (files.followed / "challenger.json").exists()


def test_an_alias_that_another_worker_stopped_following_is_asked_for_again(make_bundle, point, opened, files):
    point(make_bundle("a"))
    here, there = opened(), opened()
    for runtime in (here, there):
        runtime.follow_aliases(["challenger"])
    there.follow_aliases([])
    assert read_pointer(files.followed / "challenger.json") is None
    look(here)
    assert read_pointer(files.followed / "challenger.json").uri == "models:/beast-router@challenger"


def test_a_follower_that_breaks_is_dropped(make_bundle, point, opened, files):
    point(make_bundle("a"))
    runtime = opened()
    runtime.follow_aliases(["challenger"])
    point(make_bundle("b"), file=files.followed / "challenger.json", uri="models:/beast-router@challenger")
    look(runtime)
    serving = runtime.router.version
    assert runtime.failed(RuntimeError("x"), alias="challenger")
    look(runtime)
    assert runtime.router_for("challenger") is None
    assert runtime.router.version == serving
    assert not runtime.failed(RuntimeError("x"), alias="challenger")


def test_a_folder_has_no_aliases(make_bundle, opened):
    runtime = opened(make_bundle("a"))
    runtime.follow_aliases([])
    with pytest.raises(InputError, match="is a folder and has no aliases"):
        runtime.follow_aliases(["challenger"])


def test_following_outlives_an_unexpected_error(make_bundle, point, opened, monkeypatch):
    point(make_bundle("a"))
    runtime = opened()
    monkeypatch.setattr(runtime_module, "_LOOK_S", 0.0)
    n_looks = 0

    async def look_badly():
        nonlocal n_looks
        n_looks += 1
        if n_looks == 3:
            raise asyncio.CancelledError
        raise OSError("disk on fire")

    monkeypatch.setattr(runtime, "look", look_badly)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(runtime.follow())
    assert n_looks == 3


def test_long_prompts_are_not_kept_whole(make_bundle, opened):
    runtime = opened(make_bundle("a"))
    for _ in range(100):
        runtime.succeeded("x" * 1_000_000)
    assert sum(map(len, runtime._trials._recent)) < 600_000
