"""Variables in, one Settings out; a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import ConfigurationError
from bot.settings import load_settings


def test_defaults_need_nothing() -> None:
    settings = load_settings({})
    assert settings.phrase == "/bot"
    assert settings.token is None
    assert "command" in settings.runtimes


def test_our_variable_wins_over_the_runners() -> None:
    both = {"GITHUB_TOKEN": "from-the-runner", "SANDPIPER_TOKEN": "ours"}
    for environ, expected in ((both, "ours"), ({"GITHUB_TOKEN": "from-the-runner"}, "from-the-runner")):
        token = load_settings(environ).token
        assert token is not None
        assert token.get_secret_value() == expected


def test_an_empty_input_of_the_action_means_the_default() -> None:
    assert load_settings({"SANDPIPER_IMAGE": "", "SANDPIPER_MAX_USD": " "}).image == "host"


def test_lists_are_words() -> None:
    settings = load_settings({"SANDPIPER_MODELS": "a/b, c/d", "SANDPIPER_TRUSTED_BOTS": "1 2"})
    assert (settings.models, settings.trusted_bots) == (("a/b", "c/d"), (1, 2))


def test_organisations_have_variables() -> None:
    settings = load_settings({"SANDPIPER_TOKENS": "acme=ACME_TOKEN, Other=OTHER_TOKEN"})
    assert settings.tokens == {"acme": "ACME_TOKEN", "Other": "OTHER_TOKEN"}


def test_a_key_in_one_line_has_its_lines_again() -> None:
    key = load_settings({"SANDPIPER_APP_KEY": "-----BEGIN\\nbody\\n-----END"}).app_key
    assert key is not None
    assert key.get_secret_value() == "-----BEGIN\nbody\n-----END"


@pytest.mark.parametrize("name", ["sandpiper", "@sandpiper", "sandpiper[bot]"])
def test_the_bots_name_is_the_same_however_it_is_written(name: str) -> None:
    assert load_settings({"SANDPIPER_MENTION": name}).mention == "sandpiper"


@pytest.mark.parametrize(
    ("environ", "state"),
    [
        ({"RUNNER_TEMP": "/r"}, "/r/sandpiper"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/sandpiper"),
        ({"HOME": "/h"}, "/h/.local/state/sandpiper"),
        ({"SANDPIPER_STATE": "/s", "RUNNER_TEMP": "/r"}, "/s"),
    ],
)
def test_where_runs_are_kept(environ: dict[str, str], state: str) -> None:
    assert load_settings(environ).state == Path(state)


@pytest.mark.parametrize(
    "environ",
    [
        {"SANDPIPER_MAX_USD": "much"},
        {"SANDPIPER_PHRASE": "no slash"},
        {"SANDPIPER_TRUSTED_BOTS": "dependabot"},
        {"SANDPIPER_MAX_STEPS": "0"},
        {"SANDPIPER_TOKENS": "t0ken-in-its-place"},
        {"SANDPIPER_TOKENS": "acme=t0ken-in-its-place"},
        {"SANDPIPER_TOKENS": "acme=A acme=B"},
        {"SANDPIPER_APP_ID": "-----BEGIN t0ken-in-its-place"},
        {"SANDPIPER_MENTION": "two words"},
        {"SANDPIPER_INSTALLATION": "0"},
    ],
)
def test_a_wrong_value_is_named_and_not_echoed(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert caught.value.code == "invalid_setting"
    assert next(iter(environ)) in caught.value.message
    assert caught.value.exit_code == 2
    assert "t0ken" not in str(caught.value)


def test_a_token_is_never_printed() -> None:
    named = ("TOKEN", "MODEL_KEY", "APP_KEY", "WEBHOOK_SECRET")
    settings = load_settings({f"SANDPIPER_{name}": "hush-hush" for name in named})
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
