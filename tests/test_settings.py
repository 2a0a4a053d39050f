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
    ],
)
def test_a_wrong_value_is_named_and_not_echoed(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert caught.value.code == "invalid_setting"
    assert next(iter(environ)) in caught.value.message
    assert caught.value.exit_code == 2


def test_a_token_is_never_printed() -> None:
    settings = load_settings({"SANDPIPER_TOKEN": "ghs_secret", "SANDPIPER_MODEL_KEY": "sk-secret"})
    assert "secret" not in repr(settings) + str(settings) + settings.model_dump_json()
