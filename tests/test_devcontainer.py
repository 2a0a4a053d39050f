"""devcontainer.json: what it may ask for is found, what it may not is said, and nothing of the host comes in."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import SandboxError
from bot.sandbox.devcontainer import Devcontainer, parse_devcontainer, plain_json, read_devcontainer

PATH = ".devcontainer/devcontainer.json"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def parse(text: str, path: str = PATH) -> Devcontainer:
    return parse_devcontainer(text.encode(), path)


def test_an_image_with_comments_and_trailing_commas() -> None:
    found = parse(
        '// top\n{ /* the image, */ "image": "example.org/a//b:1", // not "another"\n'
        ' "containerEnv": {"A": "/* kept */ // too", "B": "x,}",}, "remoteEnv": {"A": "later", "C": null},\n}\n'
    )
    assert found == Devcontainer(image="example.org/a//b:1", env={"A": "later", "B": "x,}"})


def test_a_build_is_relative_to_the_file() -> None:
    found = parse('{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "1"}, "target": "dev"}}')
    assert (found.dockerfile, found.context, found.target) == (".devcontainer/Dockerfile", ".", "dev")
    assert found.args == {"V": "1"}
    old = parse('{"dockerFile": "../Dockerfile", "context": "."}')
    assert (old.dockerfile, old.context) == ("Dockerfile", ".devcontainer")
    assert parse('{"build": {"dockerfile": "D"}}', "devcontainer.json").context == "."


def test_what_would_weaken_the_sandbox_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "from-the-host")
    found = parse(
        json.dumps(
            {
                "image": "a",
                "runArgs": ["--privileged"],
                "mounts": ["source=/,target=/host,type=bind"],
                "privileged": True,
                "capAdd": ["SYS_ADMIN"],
                "features": {"x": {}},
                "postCreateCommand": "curl evil",
                "invented": 1,
                "customizations": {"an editor": {}},
                "containerEnv": {"FROM_HOST": "${localEnv:CANARY}", "PATH": "${containerEnv:PATH}:/x", "OK": "$HOME"},
            }
        )
    )
    assert found.env == {"OK": "$HOME"}
    assert "from-the-host" not in repr(found)
    said = "\n".join(found.notes)
    for name in ("runArgs", "mounts", "privileged", "capAdd", "features", "postCreateCommand", "invented", "FROM_HOST"):
        assert f"{name}`" in said, name
    assert "customizations" not in said


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "devcontainer_invalid"),
        ("[]", "devcontainer_invalid"),
        ("{}", "devcontainer_invalid"),
        ("[" * 100_000, "devcontainer_invalid"),
        ('{"image": 5}', "devcontainer_invalid"),
        ('{"image": "${localEnv:X}"}', "devcontainer_invalid"),
        ('{"image": "a", "containerEnv": {"A": 1}}', "devcontainer_invalid"),
        ('{"image": "a", "containerEnv": {"A=B": "x"}}', "devcontainer_invalid"),
        ('{"build": {"dockerfile": "../../Dockerfile"}}', "devcontainer_invalid"),
        ('{"build": {"dockerfile": "/etc/passwd"}}', "devcontainer_invalid"),
        ('{"build": {"dockerfile": "D", "context": "../.."}}', "devcontainer_invalid"),
        ('{"dockerComposeFile": "c.yml", "service": "a"}', "devcontainer_unsupported"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(text: str, code: str) -> None:
    with pytest.raises(SandboxError) as raised:
        parse(text)
    assert raised.value.code == code
    assert PATH in raised.value.message
    assert raised.value.hint


def test_it_is_found_where_it_may_lie_and_never_outside(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".devcontainer").mkdir(parents=True)
    (tmp_path / "outside.json").write_text('{"image": "outside"}')
    (checkout / "link.json").symlink_to("../outside.json")
    os.mkfifo(checkout / "fifo.json")
    for path in ("link.json", "../outside.json", str(tmp_path / "outside.json"), "fifo.json", "", "missing"):
        with pytest.raises(SandboxError) as raised:
            read_devcontainer(checkout, path)
        assert raised.value.code == "devcontainer_not_found"
    (checkout / ".devcontainer.json").write_text('{"image": "second"}')
    assert read_devcontainer(checkout).image == "second"
    (checkout / PATH).write_text('{"image": "first"}')
    assert read_devcontainer(checkout).image == "first"
    assert read_devcontainer(checkout, ".devcontainer").image == "first"
    (checkout / "inner.json").symlink_to(PATH)
    assert read_devcontainer(checkout, "inner.json").image == "first"
    (checkout / PATH).write_text(" " * 1_000_001)
    with pytest.raises(SandboxError, match="more than"):
        read_devcontainer(checkout)


@settings(max_examples=40)
@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_plain_json_stays_as_it_is(value: object, indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert plain_json(text) == text


@given(st.text(alphabet='{}[]",/*\\\n a:1', max_size=60))
def test_any_text_keeps_its_length_and_lines(text: str) -> None:
    plain = plain_json(text)
    assert len(plain) == len(text)
    assert [at for at, char in enumerate(plain) if char == "\n"] == [at for at, char in enumerate(text) if char == "\n"]


@pytest.mark.parametrize("text", ["/*" * 250_000, '"' * 500_000, '"\\' * 250_000, "," * 500_000, "/" * 500_000])
def test_a_hostile_text_costs_no_more_than_another(text: str) -> None:
    began = time.process_time()
    with pytest.raises(SandboxError):
        parse(text)
    assert time.process_time() - began < 10
