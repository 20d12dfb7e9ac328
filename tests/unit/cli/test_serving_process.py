"""What the process behind `beast serve` starts beside its workers."""

import subprocess
import sys

import pytest

from beast_ml.cli.serving_process import _children, cache_config, main
from beast_ml.errors import InputError, SettingsError
from beast_ml.settings import Settings, load_settings


def test_the_password_of_the_store_is_in_no_argument_of_the_watcher(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BEAST_TRACKING__URI", "https://ann:secret@mlflow.example")
    children = _children(Settings())
    watcher = children[0]
    assert "beast_ml.registry.watch" in watcher.arguments
    assert watcher.environment["MLFLOW_TRACKING_URI"] == "https://ann:secret@mlflow.example"
    assert not [word for child in children for word in child.arguments if "secret" in word]
    assert "secret" not in repr(children)


def test_the_cache_is_off_unless_it_is_switched_on_and_then_has_a_secret():
    assert cache_config(Settings()) is None
    with pytest.raises(SettingsError, match=r"`cache.secret` is not set: .* BEAST_CACHE__SECRET"):
        cache_config(Settings(cache={"enabled": True}))
    told = cache_config(
        Settings(cache={"enabled": True, "secret": "sixteen letters.", "life_s": 60, "lives_s": {"business": 5}})
    )
    assert told.secret == b"sixteen letters."
    assert (told.lives.of("business"), told.lives.of("maths"), told.lives.of(None)) == (5, 60, 60)
    assert "sixteen" not in repr(told)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"age_share": 0.1}, "nothing judges: set `cache.judge`"),
        ({"judge": "large"}, r"`cache.judge` == 'large' has no endpoint: .* models: small$"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_said_before_anything_is_served(changed, said):
    endpoint = {"name": "here", "model": "small", "base_url": "http://127.0.0.1:1/v1"}
    cache = {"enabled": True, "secret": "sixteen letters.", "semantic": True}
    for judge in ("small", "equal"):
        assert cache_config(Settings(cache={**cache, "judge": judge}, endpoints=[endpoint])).judge == judge
    with pytest.raises(SettingsError, match=said):
        cache_config(Settings(cache={**cache, **changed}, endpoints=[endpoint]))


def test_a_state_folder_that_is_too_deep_for_a_socket_is_said_before_anything_is_served(tmp_path):
    cache = {"enabled": True, "secret": "sixteen letters."}
    deep = {"state": tmp_path / ("x" * 120)}
    assert cache_config(Settings(cache=cache, serving=deep)) is not None
    with pytest.raises(InputError, match="too long for a socket"):
        cache_config(Settings(cache={**cache, "semantic": True}, serving=deep))


def test_a_short_secret_of_the_cache_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("BEAST_CACHE__SECRET", "short")
    with pytest.raises(SettingsError, match="BEAST_CACHE__SECRET"):
        load_settings(tmp_path)


def test_a_server_without_a_cache_imports_nothing_of_it():
    code = "from beast_ml.cli import serving_process as s; s._preload(gateway=True, cache=False); import sys; "
    code += "print([name for name in sys.modules if 'answer_cache' in name or name.startswith('beast_ml.cache.tiers')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BEAST_SERVING__ROUTER": "nothing"}, "no bundle folder nothing: name a folder"),
        ({"BEAST_SERVING__HOST": "192.0.2.1"}, "can be reached from elsewhere, and no API key was made"),
        ({"BEAST_CACHE__ENABLED": "true"}, "`cache.secret` is not set"),
        ({"BEAST_SERVING__PROT": "1"}, "BEAST_SERVING__PROT"),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_sentence_before_there_are_workers(
    monkeypatch, tmp_path, capsys, environment, said
):
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    assert said in capsys.readouterr().err


def test_without_the_extra_it_is_said_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("beast_ml.cli.serving_process.find_spec", lambda name: None)
    assert main() == 1
    assert "beast-ml[serve]" in capsys.readouterr().err
