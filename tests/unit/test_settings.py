from pathlib import Path

import pytest
from pydantic import ValidationError

from beast_ml.domain import Price
from beast_ml.errors import SettingsError
from beast_ml.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("BEAST_"):
            monkeypatch.delenv(name)


def write(folder, text):
    path = folder / "mlflow.yaml"
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_the_defaults_hold(tmp_path):
    settings = load_settings(tmp_path)
    assert settings == Settings()
    assert settings.tracking.uri == "sqlite:///mlflow.db"


def test_the_file_in_the_repository_says_the_defaults():
    assert load_settings(ROOT) == Settings()


def test_the_working_directory_is_the_default(tmp_path, monkeypatch):
    write(tmp_path, "tracking: {experiment: mine}")
    monkeypatch.chdir(tmp_path)
    assert load_settings().tracking.experiment == "mine"


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path):
    write(
        tmp_path,
        "gates: {min_test_queries: 7}\ncandidates:\n  - {name: m, input_usd_per_mtok: 1, output_usd_per_mtok: 2}",
    )
    settings = load_settings(tmp_path)
    assert (settings.gates.min_test_queries, settings.gates.quality_margin) == (7, 0.01)
    assert settings.prices() == {"m": Price(1.0, 2.0)}


def test_a_file_names_the_kinds_of_own_tasks(tmp_path):
    write(tmp_path, "kinds:\n  our tickets: support\n  reports/*: summarisation\n")
    assert load_settings(tmp_path).kinds == {"our tickets": "support", "reports/*": "summarisation"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_an_empty_file_sets_nothing(tmp_path, text):
    write(tmp_path, text)
    assert load_settings(tmp_path) == Settings()


def test_a_variable_wins_over_the_file_and_only_for_its_own_value(tmp_path, monkeypatch):
    write(tmp_path, "tracking: {uri: 'http://file:5000', experiment: from-file}")
    monkeypatch.setenv("BEAST_TRACKING__URI", "http://variable:5000")
    settings = load_settings(tmp_path)
    assert (settings.tracking.uri, settings.tracking.experiment) == ("http://variable:5000", "from-file")


def test_beast_config_is_used_when_the_directory_has_no_file(tmp_path, monkeypatch):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    monkeypatch.setenv("BEAST_CONFIG", str(write(elsewhere, "tracking: {experiment: elsewhere}")))
    assert load_settings(here).tracking.experiment == "elsewhere"
    write(here, "tracking: {experiment: here}")
    assert load_settings(here).tracking.experiment == "here"


def test_beast_config_that_is_no_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAST_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(SettingsError, match="which is no file: point it at an"):
        load_settings(tmp_path)


def test_other_variables_of_ours_are_no_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAST_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("BEAST_DATA_DIR", str(tmp_path))
    assert load_settings(tmp_path) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gates: {quality_margin: 2}", r"`gates.quality_margin` in .*mlflow.yaml: .*less than or equal to 1 \(got 2\)"),
        ("gates: {min_test_queries: many}", r"`gates.min_test_queries` in .*got 'many'"),
        ("traking: {}", "`traking` in .*not permitted"),
        ("tracking: {url: x}", "`tracking.url` in .*not permitted"),
        ("tracking: 3", "`tracking` in"),
        ("candidates: [{name: m}]", "`candidates.0` in .*'m' needs one of: input_usd_per_mtok"),
        ("candidates: [{name: m, input_usd_per_mtok: 1}]", "'m' needs both input_usd_per_mtok and output_usd_per_mtok"),
        ("candidates: [{name: m, usd_per_hour: 1}]", "either its `output_tokens_per_s` or its `concurrency`"),
        ("candidates: [{name: m, usd_per_hour: 1, listed_as: a/b}]", "'m' needs one of"),
        ("candidates: [{name: m, listed_as: a/b, concurrency: 2}]", "which go with usd_per_hour"),
        ("candidates: [{name: m, listed_as: a/b, usd_per_request: 2}]", "which goes with prices by token"),
        ("candidates: [{name: m, input_usd_per_mtok: .inf, output_usd_per_mtok: 1}]", "finite number"),
        ("candidates: [{name: m, input_usd_per_mtok: -1, output_usd_per_mtok: 1}]", "greater than or equal to 0"),
        ("{home_region: eu, region: us}", "`home_region` and `home_redis_url` go together"),
        ("{home_region: eu, home_redis_url: 'redis://h'}", r"has no region: set `region` \(BEAST_REGION\)"),
        ("cache: {regions: true}", "`cache.regions` is true, but there are none: set `home_region`"),
        ("region: a/b", "`region` in .*match pattern"),
        ("1: 2", "`1` in .*not permitted"),
        ("- a\n- b", "holds a list, must be a mapping of settings"),
        ("just text", "holds a str"),
        ("a: [", "cannot read .*mlflow.yaml"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, text, message):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=message):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "home_region: eu\nhome_redis_url: redis://:hidden@h:1\ndatabase_url: postgresql://u:hidden@h/db",
        "home_redis_url: redis://:hidden@h:1\nregion: us",
        "home_redis_url: [redis://:hidden@h:1]",
        "secret: hidden",
    ],
)
def test_what_is_wrong_is_said_without_passwords(tmp_path, monkeypatch, text):
    write(tmp_path, text)
    monkeypatch.setenv("BEAST_ADMIN_KEY", "hidden")
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path)
    assert "hidden" not in str(raised.value)


def test_a_file_that_is_not_utf8_is_an_error(tmp_path):
    (tmp_path / "mlflow.yaml").write_bytes(b"tracking: {uri: \xff\xfe}")
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path)


@pytest.mark.parametrize("with_file", [False, True])
def test_a_wrong_variable_is_named(tmp_path, monkeypatch, with_file):
    if with_file:
        write(tmp_path, "gates: {max_coverage: 0.9}")
    monkeypatch.setenv("BEAST_GATES__QUALITY_MARGIN", "nine")
    with pytest.raises(SettingsError, match=r"`gates.quality_margin` in BEAST_GATES__QUALITY_MARGIN: .*got 'nine'"):
        load_settings(tmp_path)


def test_a_variable_that_holds_a_part_must_be_json(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAST_GATES", '{"min_test_queries": 3}')
    assert load_settings(tmp_path).gates.min_test_queries == 3
    monkeypatch.setenv("BEAST_GATES", "{min_test_queries")
    with pytest.raises(SettingsError, match=r"a BEAST_.* variable is no JSON.*gates.*BEAST_PART__NAME"):
        load_settings(tmp_path)
    monkeypatch.setenv("BEAST_GATES", '{"min_test_queries": 0}')
    with pytest.raises(SettingsError, match=r"`gates.min_test_queries` in BEAST_GATES: "):
        load_settings(tmp_path)


def test_settings_are_frozen():
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.tracking = None
    with pytest.raises(ValidationError, match="frozen"):
        settings.gates.quality_margin = 0.5


def test_a_mistyped_variable_is_not_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("BEAST_TRACKING_URI", "sqlite:///other.db")
    with pytest.raises(SettingsError, match="BEAST_TRACKING_URI sets nothing"):
        load_settings(tmp_path)


def test_a_candidate_may_be_paid_by_the_hour_or_stand_in_the_public_list(tmp_path):
    write(
        tmp_path,
        "candidates:\n"
        "  - {name: gpu, usd_per_hour: 3.6, output_tokens_per_s: 1000}\n"
        "  - {name: slow, usd_per_hour: 3.6, concurrency: 10}\n"
        "  - {name: prod, listed_as: openai/gpt-4o}\n",
    )
    settings = load_settings(tmp_path)
    assert settings.prices() == {"gpu": Price(0.0, 1.0), "slow": Price(0.0, 0.0, usd_per_s=0.0001)}
    assert settings.listed_names() == {"prod": "openai/gpt-4o"}
