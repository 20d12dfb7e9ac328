"""wrk, where it is installed, as the generator of a closed loop: its Lua script sends a file of bodies, none twice."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.serving.load_plan import LoadPlan, LoadResult, Quantiles
from beast_ml.benchmarks.serving.processes import on_cores
from beast_ml.errors import InputError, UnavailableError

__all__ = ["run_wrk", "wrk_version"]

_SCRIPT: Final = """
local file, head, sent
local path, target, host, headers, skip, again = %s
local function open()
  file = assert(io.open(path, "rb"))
end
function init(_)
  open()
  for _ = 1, skip do file:read("*l") end
  head = "POST " .. target .. " HTTP/1.1\\r\\nhost: " .. host .. "\\r\\ncontent-type: application/json\\r\\n"
    .. headers .. "content-length: "
  sent = 0
end
function request()
  local body = file:read("*l")
  if body == nil then
    if again then open() body = file:read("*l") else wrk.thread:stop() body = "{}" ran_out = true end
  end
  sent = sent + 1
  return head .. #body .. "\\r\\n\\r\\n" .. body
end
local threads = {}
function setup(thread)
  table.insert(threads, thread)
  thread:set("ran_out", false)
end
function done(summary, latency, _)
  local errors = summary.errors
  local short = false
  for _, thread in ipairs(threads) do short = short or thread:get("ran_out") end
  io.stderr:write(string.format(
    '{"requests":%%d,"us":%%d,"status":%%d,"connect":%%d,"read":%%d,"write":%%d,"timeout":%%d,' ..
    '"p50":%%f,"p95":%%f,"p99":%%f,"max":%%f,"short":%%s}',
    summary.requests, summary.duration, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max, tostring(short)))
end
"""


def wrk_version() -> str | None:
    """Return the version of wrk that is installed; None without one."""
    if shutil.which("wrk") is None:
        return None
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).split("\n")[0].split("[")[0].removeprefix("wrk").strip()


def run_wrk(plan: LoadPlan, script: Path, cores: Sequence[int] | None = None) -> LoadResult:
    """Keep a server busy for the seconds that are measured, and return what was found; there is no warm-up.

    Parameters
    ----------
    plan
        Of a closed loop.
    script
        File for the Lua script.
    cores
        wrk may run on; None: all.

    Raises
    ------
    InputError
        If the bodies run out and may not repeat.
    UnavailableError
        If wrk fails.
    """
    headers = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
    values = (plan.bodies, plan.path, f"127.0.0.1:{plan.port}", headers)
    words = [json.dumps(value) for value in values]
    script.write_text(_SCRIPT % ", ".join([*words, str(plan.skip), "true" if plan.repeat else "false"]))
    # One thread, so that no body is sent by two.
    command = ["wrk", "-t1", f"-c{plan.connections}", f"-d{plan.measure_s:.0f}s", "--timeout", "10s", "-s", str(script)]
    with on_cores(cores):
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{plan.port}{plan.path}"], capture_output=True, text=True, check=False
        )
    try:
        found = json.loads(said.stderr.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise UnavailableError(
            f"wrk failed with {said.returncode}: {said.stderr[-500:] or said.stdout[-500:]}"
        ) from error
    if found["short"]:
        raise InputError(f"{plan.bodies} has no body left that was not sent: make more of them, or measure shorter")
    kinds = {"status": found["status"], "closed": found["read"] + found["write"], "refused": found["connect"]}
    kinds["unanswered"] = found["timeout"]
    return LoadResult(
        generator=f"wrk {wrk_version()}",
        seconds=found["us"] / 1e6,
        answered=found["requests"] - found["status"],
        failures={name: count for name, count in kinds.items() if count},
        latency=Quantiles(found["p50"], found["p95"], found["p99"], found["max"]),
        used=found["requests"] + plan.connections,
    )
