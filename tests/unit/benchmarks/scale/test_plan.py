import math

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.benchmarks.scale.cost_model import LeaseCost
from beast_ml.benchmarks.scale.limits import FORWARDED_A_STEP, Limit, demand, unmeasured
from beast_ml.benchmarks.scale.mix import MIXES, choose_mix, with_hit_share
from beast_ml.benchmarks.scale.paths import PATHS
from beast_ml.benchmarks.scale.plan import make_plan
from beast_ml.benchmarks.scale.site import Site, peak_to_mean
from beast_ml.benchmarks.serving.cases import Spread
from beast_ml.errors import InputError

UNSEEN = {"unseen": 1.0}
LAX = Site(p95_ms=1e6, utilisation=0.5, peak_to_mean=2.0, spare=1)
rates = st.floats(1.0, 1e7)


def limit(plan, name):
    return next(each for each in plan.limits if each.name == name)


def test_a_plan_by_hand(model):
    plan = make_plan(model, model.deployment("alone"), UNSEEN, 10_000.0, LAX)
    # 10,000 x 200 us = 2 cores' worth, at half load 4 workers; a replica has 7. One beside it may be away.
    replicas = plan.part("replicas")
    assert (replicas.units, replicas.cores) == (2, 16)
    assert replicas.memory_gb == pytest.approx(2 * (1 + 1.25 * (7 * 0.2 + 0.1)))
    # 5,000 a second on the mean x 1,000 bytes x 86,400 s.
    assert plan.log_gb_day == pytest.approx(432.0)
    assert plan.gbit_per_s == pytest.approx(10_000 * 1000 * 1.06 * 8 / 1e9)
    assert plan.cells == 1
    assert [part.name for part in plan.parts] == ["replicas", "load balancers", "stores of the log"]
    assert plan.usd_per_million == pytest.approx(plan.usd_month / (5_000 * 730 * 3600 / 1e6))


def test_dollars_are_cores_memory_and_disk_at_their_prices(model):
    part = make_plan(model, model.deployment("alone"), UNSEEN, 10_000.0, LAX).part("load balancers")
    assert part.usd_month == pytest.approx(730 * (part.cores * 0.04048 + part.memory_gb * 0.004445))


def test_replicas_are_as_many_as_their_workers_and_the_spare_ones(model):
    plan = make_plan(model, model.deployment("alone"), UNSEEN, 100_000.0, LAX)
    assert plan.part("replicas").units == math.ceil(100_000 * 200e-6 / 0.5 / 7) + 1


def test_a_slow_network_takes_more_replicas_than_the_cpu(model):
    slow = Site(p95_ms=1e6, utilisation=0.5, peak_to_mean=2.0, spare=0, gbit_per_s=0.01)
    plan = make_plan(model, model.deployment("alone"), UNSEEN, 10_000.0, slow)
    assert plan.part("replicas").units == math.ceil(plan.gbit_per_s / (0.01 * 0.5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(one=rates, other=rates, mix=st.sampled_from(sorted(MIXES)))
def test_more_requests_never_take_less(model, one, other, mix):
    low, high = (make_plan(model, model.deployment("shared"), MIXES[mix], rate, LAX) for rate in sorted((one, other)))
    for name in ("cells", "gbit_per_s", "log_gb_day", "connections"):
        assert getattr(low, name) <= getattr(high, name) * (1 + 1e-9), name
    # One cell more may fill its replicas better: but for one of each cell.
    one = low.part("replicas")
    for name in ("cores", "memory_gb", "usd_month"):
        slack = low.cells * getattr(one, name) / one.units
        assert getattr(low, name) <= getattr(high, name) * (1 + 1e-9) + slack, name
    assert one.units <= high.part("replicas").units + low.cells


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(share=st.floats(0.1, 0.9), speed=st.floats(1.0, 10.0))
def test_faster_cores_and_more_hits_never_take_more_workers(model, share, speed):
    of, mix = model.deployment("shared"), MIXES["gateway"]

    def replicas(share, speed):
        site = Site(p95_ms=1e6, speed=speed)
        return make_plan(model, of, with_hit_share(mix, share), 100_000.0, site).part("replicas").units

    assert replicas(share, speed) <= replicas(share, 1.0)
    assert replicas(min(share + 0.1, 1.0), 1.0) <= replicas(share, 1.0)


def test_load_is_lowered_until_the_p95_holds(model):
    of = model.deployment("alone")
    strict = make_plan(model, of, UNSEEN, 1e5, Site(p95_ms=0.4))
    assert strict.load < 0.6
    assert strict.p95_ms <= 0.4
    assert strict.part("replicas").units > make_plan(model, of, UNSEEN, 1e5, Site(p95_ms=50.0)).part("replicas").units


def test_a_limit_that_no_request_keeps_is_refused(model):
    with pytest.raises(InputError, match=r"even a request alone takes 0\.2 ms"):
        make_plan(model, model.deployment("alone"), UNSEEN, 1e5, Site(p95_ms=0.1))


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_is_above_zero(model, rate):
    with pytest.raises(InputError, match="`rate`"):
        make_plan(model, model.deployment("alone"), UNSEEN, rate)


def test_a_mix_of_paths_that_were_not_measured_is_refused(model):
    with pytest.raises(InputError, match=r"hit, hit streamed.* was not measured in the deployment 'alone'"):
        make_plan(model, model.deployment("alone"), MIXES["gateway"], 1.0)


def test_workers_steps_on_postgresqls_ledger_saturate_where_they_fill_a_second(model):
    plan = make_plan(model, model.deployment("shared"), {"unseen": 1.0}, 1e5, LAX)
    # 5 ms a step: 200 workers; a worker at half load takes 1e6 / 220 / 2 requests a second.
    assert limit(plan, "steps on the ledger").rate_at() == pytest.approx(200 * 1e6 / 220 / 2, rel=1e-3)


def test_outcomes_are_forwarded_as_far_as_a_step_shows_them(model):
    plan = make_plan(model, model.deployment("shared"), {"unseen": 1.0, "outcomes": 1.0}, 1e5, LAX)
    found = limit(plan, "forwarded outcomes")
    # A little above: what comes to the worker that decided is not forwarded.
    assert FORWARDED_A_STEP < found.rate_at() < 1.3 * FORWARDED_A_STEP
    assert plan.first_to_break is found
    assert plan.cells > 1


def test_showing_outcomes_to_all_grows_with_the_square_of_the_rate(model):
    of, need = model.deployment("shared"), {"unseen": 1.0, "outcomes": 1.0}
    cores = next(each for each in make_plan(model, of, need, 1e5, LAX).limits if "cores" in each.name)
    assert cores.busy(2e6) / cores.busy(1e6) > 3.5


def test_a_service_that_only_idle_workers_ask_is_planned_and_limited_as_well(model):
    alone = model.deployment("alone")
    idle = msgspec.structs.replace(alone, name="shared", idle={"postgres_us": Spread(2000.0, 2000.0, 2000.0)})
    plan = make_plan(model, idle, UNSEEN, 1e5, LAX)
    # 40 workers at half load; 32 cores hold 16,000 workers of 2 ms a second.
    assert plan.part("PostgreSQL").units == 2 * plan.cells
    assert limit(plan, "PostgreSQL's 32 cores").rate_at() == pytest.approx(16_000 * 1e6 / 200 / 2, rel=1e-3)


def test_without_outcomes_nothing_is_forwarded(model):
    names = [each.name for each in make_plan(model, model.deployment("shared"), MIXES["gateway"], 1e5, LAX).limits]
    assert "forwarded outcomes" not in names
    assert "steps on the ledger" in names


def test_a_server_alone_has_no_limit_but_the_store_of_logs(model):
    plan = make_plan(model, model.deployment("alone"), UNSEEN, 1e5, LAX)
    assert [(each.name, each.serves) for each in plan.limits] == [("one store of all logs", False)]
    assert plan.first_to_break is None
    assert plan.cells == 1
    assert plan.part("stores of the log").units == 2
    # 20 us a row and one row a request fill a core at 50,000 a second, which is the mean of a peak of twice that.
    assert plan.limits[0].rate_at() == pytest.approx(100_000, rel=1e-3)


def test_nothing_is_busier_than_it_may_be_once_the_fleet_is_cut(model):
    plan = make_plan(model, model.deployment("shared"), MIXES["route"], 1e6, LAX)
    assert plan.cells > 1
    for each in (one for one in plan.limits if one.serves):
        assert each.busy(plan.rate / plan.cells) <= LAX.utilisation * 1.001
    assert plan.part("PostgreSQL").units == 2 * plan.cells


def test_replicas_have_room_for_the_cache_that_their_workers_fill(model):
    def gb(mix):
        part = make_plan(model, model.deployment("shared"), mix, 100.0, LAX).part("replicas")
        return part.memory_gb / part.units

    assert gb(MIXES["gateway"]) - gb(UNSEEN) == pytest.approx(1.25 * 7 * 0.256)


def test_each_cell_has_whole_replicas_and_spare_ones_of_its_own(model):
    plan = make_plan(model, model.deployment("shared"), {"unseen": 1.0, "outcomes": 1.0}, 1e6, LAX)
    assert plan.cells > 1
    # 1e6 x 280 us at half load; a replica has 7 workers, one beside those of each cell may be away.
    of_a_cell = math.ceil(1e6 * 280e-6 / 0.5 / 7 / plan.cells) + 1
    assert plan.part("replicas").units == plan.cells * of_a_cell


def test_postgresql_has_cores_for_what_the_ledger_takes_as_well(model):
    of, need = model.deployment("shared"), {"unseen": 1.0, "outcomes": 1.0}
    busy = LeaseCost(service="postgres", step_us=1500.0, held_us=100.0, forward_us=2000.0, read_us=0.0)
    dear = msgspec.structs.replace(model, leases=(busy,))
    rate = 4_000.0
    cores = make_plan(dear, of, need, rate, LAX).part("PostgreSQL").cores / 2
    # 20 us of each request and outcome, 1 ms a second of each worker, 2 ms of each outcome that another one decided.
    workers = rate * 280e-6 / 0.5
    assert cores == math.ceil((rate * 20e-6 + workers * 1e-3 + rate * (1 - 1 / workers) * 2e-3) / 0.5)


def test_the_cache_takes_what_a_life_of_answers_takes_but_no_more_than_tenants_may_have(model):
    def gb(rate):
        part = make_plan(model, model.deployment("shared"), MIXES["gateway"], rate, LAX).part("Valkey")
        return (part.memory_gb - part.units) / 1.25 / 2  # beside the system's; there are two of each

    # 50 a second on the mean x 0.7 x a day x 1,000 bytes.
    assert gb(100.0) == pytest.approx(50 * 0.7 * 86_400 * 1000 / 1e9)
    assert gb(1e6) == pytest.approx(100 * 1.024)


def test_what_a_plan_is_made_without_is_said(model):
    whole = msgspec.structs.replace(model, latency_us=(100.0, 300.0))
    shared, mix = model.deployment("shared"), {"unseen": 1.0}
    need = demand(shared, mix)
    assert unmeasured(whole, shared, need) == {}
    bare = msgspec.structs.replace(whole, leases=(model.lease("valkey"),), compaction_us=None, latency_us=())
    said = unmeasured(bare, shared, need)
    assert list(said) == [
        "the ledger of budgets in plans of shared",
        "compaction in plans",
        "how requests differ, in plans",
    ]
    alone = model.deployment("alone")
    assert "the ledger of budgets in plans of alone" not in unmeasured(bare, alone, demand(alone, mix))


def test_a_limit_that_is_never_reached_is_infinite():
    assert Limit("none", lambda _: 0.0, "").rate_at() == math.inf
    assert Limit("none", lambda _: 0.0, "").needed(1e9, 0.5) == 1


def test_demand_adds_calls_by_their_shares(model):
    need = demand(model.deployment("alone"), {"unseen": 0.5, "seen": 0.5, "outcomes": 2.0})
    assert need.worker_us == pytest.approx(0.5 * 200 + 0.5 * 100 + 2 * 50)
    assert need.rows == 3.0
    assert need.outcomes == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unseen=0.5", "shares of requests are 0.5 together"),
        ("unseen=1.5,seen=-0.5", "none below 0"),
        ("nothing", "neither a mix"),
        ("unseen", "needs a share"),
    ],
)
def test_mixes_that_are_none_are_refused_with_the_reason(text, said):
    with pytest.raises(InputError, match=said):
        choose_mix(text, tuple(PATHS))


@pytest.mark.parametrize("name", sorted(MIXES))
def test_the_mixes_that_have_names_are_whole(name):
    assert choose_mix(name, tuple(PATHS)) == MIXES[name]
    listed = ",".join(f"{path}={calls}" for path, calls in MIXES[name].items())
    assert choose_mix(listed, tuple(PATHS)) == MIXES[name]


def test_another_share_of_hits_leaves_the_rest_in_proportion():
    found = with_hit_share(MIXES["gateway"], 0.9)
    assert found["hit"] == pytest.approx(0.45)
    assert found["miss"] == found["miss streamed"] == pytest.approx(0.05)
    assert found["feedback"] == MIXES["gateway"]["feedback"]
    with pytest.raises(InputError, match="no share of hits"):
        with_hit_share(UNSEEN, 0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"utilisation": 1.0}, "a full queue never empties"),
        ({"cores": 1}, "`cores` == 1"),
        ({"speed": 0.0}, "`speed`"),
        ({"spare": -1}, "`spare`"),
        ({"peak_to_mean": 0.5}, "`peak_to_mean`"),
        ({"p95_ms": math.nan}, "`p95_ms`"),
    ],
)
def test_a_site_that_cannot_be_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        Site(**changes)


def test_the_peak_of_a_trace_is_its_busiest_whole_window_over_their_mean(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    at_s = [0.0] * 10 + [61.0] * 30 + [125.0]  # the third minute is not whole
    pq.write_table(pa.table({"timestamp_s": at_s}), tmp_path / "trace.parquet")
    assert peak_to_mean(tmp_path / "trace.parquet") == pytest.approx(1.5)


def test_workers_take_longer_where_each_is_shown_what_came_to_others(model):
    mix = {"unseen": 1.0, "outcomes": 1.0}
    dear = msgspec.structs.replace(
        model, leases=tuple(msgspec.structs.replace(each, worker_read_us=20.0) for each in model.leases)
    )
    of = model.deployment("shared")
    plan, dear_plan = (make_plan(each, of, mix, 1e5, LAX) for each in (model, dear))
    assert dear_plan.part("replicas").units > plan.part("replicas").units
    one = 100.0  # requests a second that one worker takes: nobody else is told
    assert make_plan(dear, of, mix, one, LAX).cores == make_plan(model, of, mix, one, LAX).cores
