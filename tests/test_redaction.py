"""Redaction: no known value and no known shape survives, in any usual encoding, and the rest of the text does."""

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.redaction import HIDDEN, find_secrets, redact, secrets_of
from bot.settings import load_settings

SECRET = "Zx9-canary/value+42=Qw"
LONG_TOKEN = "ghs_123456_" + ".".join(("eyJ" + "aB3_-x" * 20, "eyJ" + "Q9z" * 90, "s1G" * 29))


@pytest.mark.parametrize(
    "encoded",
    [
        SECRET,
        SECRET[::-1],
        SECRET.upper(),
        SECRET.encode().hex(),
        SECRET.encode().hex(":"),
        quote(SECRET, safe=""),
        html.escape(SECRET),
        json.dumps({"key": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode() + b"tail").decode(),
        base64.b64encode(b"xy" + SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
        SECRET[:9] + "\n    " + SECRET[9:],
        " ".join(SECRET),
        f'"{SECRET[:9]}" + "{SECRET[9:]}"',
        "\u200b".join(SECRET),
        SECRET.encode("utf-16-le").decode("latin-1"),
    ],
)
def test_a_known_value_is_found_in_every_encoding(encoded: str) -> None:
    text = f"before {encoded} after"

    cleaned = redact(text, [SECRET])

    assert find_secrets(text, [SECRET]) == ("credential of this machine",)
    assert find_secrets(cleaned, [SECRET]) == ()
    assert HIDDEN in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


def test_a_token_of_any_length_goes_whole() -> None:
    assert len(LONG_TOKEN) > 480
    for token in (LONG_TOKEN, "ghp_" + "a1B2" * 9, "github_pat_" + "a1_B2" * 16, "sk-ant-api03-" + "aB3-_" * 18):
        assert redact(f"GET {token}, then", ()) == f"GET {HIDDEN}, then"
        assert find_secrets(token, ())


def test_private_keys_go_even_without_their_end() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIE" * 40

    assert redact(f"key:\n{key}\n-----END RSA PRIVATE KEY-----\nrest", ()) == f"key:\n{HIDDEN}\nrest"
    assert redact(f"key:\n{key}", ()) == f"key:\n{HIDDEN}"


def test_logins_inside_addresses_and_headers_go() -> None:
    assert redact("git clone https://x-access-token:abcdef@github.com/a/b", ()) == (
        f"git clone https://{HIDDEN}@github.com/a/b"
    )
    assert "dXNlcjpwYXNz" not in redact("AUTHORIZATION: basic dXNlcjpwYXNz", ())


def test_plain_text_is_left_alone() -> None:
    text = "The task-runner sk-learn fix: see https://github.com/a/b#1, ghost_writer and `key = value`.\n" * 3

    assert redact(text, ["short", SECRET]) == text
    assert find_secrets(text, ["short", SECRET]) == ()


def test_secrets_come_from_settings_and_from_names() -> None:
    environ = {
        "SANDPIPER_TOKEN": "settings-token-1",
        "ANTHROPIC_API_KEY": "model-key-value-2",
        "DEPLOY_PASSWORD": "hunter2-hunter2",
        "DATABASE_URL": "postgres://app:dbpass-4444@db/x",
        "SERVICE_CREDENTIALS": json.dumps({"type": "account", "private_key": "inner-private-5"}),
        "SSH_KEY_PATH": "/home/someone/.ssh/id",
        "SHORT_TOKEN": "abc",
        "HOME": "/home/someone",
        "MONKEY": "not-a-secret",
    }

    found = secrets_of(environ, load_settings(environ))

    expected = {"settings-token-1", "model-key-value-2", "hunter2-hunter2", "dbpass-4444", "inner-private-5"}
    assert expected <= set(found)
    assert not {"abc", "not-a-secret", "/home/someone", "/home/someone/.ssh/id"} & set(found)


@given(st.lists(st.text(min_size=1, max_size=12), max_size=3), st.data())
def test_redaction_is_idempotent(secrets: list[str], data: st.DataObject) -> None:
    pieces = st.one_of(st.text(max_size=5), st.sampled_from([*secrets, "ghs_", "a" * 20, "***", "://u:pw1@", "*"]))
    text = "".join(data.draw(st.lists(pieces, max_size=8)))

    once = redact(text, secrets)

    assert redact(once, secrets) == once
    for secret in secrets:
        assert len(secret) < 8 or secret not in once


def test_a_secret_goes_with_its_first_and_last_sign() -> None:
    for secret in ("ghs_12345678-", "-_12345678ab", "..12345678=="):
        assert redact(f"a {secret} b", (secret,)) == "a *** b"
