"""Processes that a host's leader keeps running."""

import asyncio
import os

from beast_ml.serving import chores
from beast_ml.serving.chores import ChildCommand, Chores, HostChores

CODE = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
(folder / "arguments").write_bytes(pathlib.Path("/proc/self/cmdline").read_bytes())
(folder / "seen.new").write_text(os.environ["STORE"] + " " + os.environ["HOME_OF_THE_TESTS"])
(folder / "seen.new").rename(folder / "seen")
sys.stdin.read()
"""


def test_a_child_is_told_secrets_by_its_environment_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME_OF_THE_TESTS", "here")
    child = ChildCommand("child", ("-c", CODE, str(tmp_path)), environment={"STORE": "hunter2"})

    async def run():
        task = asyncio.create_task(Chores(HostChores(tmp_path / "lock", (child,))).run())
        async with asyncio.timeout(60):
            while not (tmp_path / "seen").exists():
                assert not task.done()
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert (tmp_path / "seen").read_text() == "hunter2 here"
    assert b"hunter2" not in (tmp_path / "arguments").read_bytes()
    assert "STORE" not in os.environ
    assert "hunter2" not in repr(child)


def test_what_a_child_says_is_heard_while_it_runs(tmp_path, capsys):
    child = ChildCommand("child", ("-c", "import sys; sys.stderr.write('an alarm\\n'); sys.stdin.read()"))

    async def run():
        task = asyncio.create_task(Chores(HostChores(tmp_path / "lock", (child,))).run())
        async with asyncio.timeout(60):
            while "an alarm\n" not in capsys.readouterr().err:
                assert not task.done()
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_child_that_cannot_be_started_now_is_started_later(tmp_path, monkeypatch):
    monkeypatch.setattr(chores, "_RESTART_S", 0.01)
    start, refused = asyncio.create_subprocess_exec, []

    async def refuse_once(*arguments, **options):
        if not refused:
            refused.append(True)
            raise BlockingIOError("no more processes")
        return await start(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse_once)
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); sys.stdin.read()"
    child = ChildCommand("child", ("-c", code, str(tmp_path / "here")))

    async def run():
        task = asyncio.create_task(Chores(HostChores(tmp_path / "lock", (child,))).run())
        async with asyncio.timeout(60):
            while not (tmp_path / "here").exists():
                assert not task.done()
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert refused


def test_what_fails_meanwhile_is_begun_again_and_ends_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(chores, "_RESTART_S", 0.01)
    begun, done = [], asyncio.Event()

    async def fail_once():
        begun.append(True)
        if len(begun) == 1:
            raise ValueError("not foreseen")
        done.set()

    async def go_on():
        await asyncio.Event().wait()

    async def run():
        task = asyncio.create_task(Chores(HostChores(tmp_path / "lock", ()), meanwhile=(go_on, fail_once)).run())
        async with asyncio.timeout(60):
            await done.wait()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
