"""An image's name -> the image in the engine, fetched from its registry within a time, with progress.

The engine fetches: see the Engine API's `ImageCreate`. It stops when the connection closes, which is our time-out.
"""

import contextlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import docker
from docker import auth
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types.daemon import CancellableStream
from pydantic import SecretStr
from requests.exceptions import RequestException

from bot.errors import SandboxError
from bot.sandbox.docker.reference import Reference, parse_reference

_LOG = logging.getLogger(__name__)
OnProgress = Callable[[str], None]
_EVERY = 1.0
"""Seconds between two lines of progress."""
_REASONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("image_platform_mismatch", ("no matching manifest", "does not match the specified platform", "operating system")),
    ("image_not_found", ("manifest unknown", "name unknown", "not found: manifest", "repository does not exist")),
    (
        "registry_login_failed",
        ("unauthorized", "authentication required", "no basic auth", "incorrect username", "denied", "forbidden"),
    ),
    ("no_space", ("no space left",)),
    ("image_not_found", ("not found",)),
)
"""Code -> words of the engine or the registry that mean it. What has none of them may go better next time."""


@dataclass(frozen=True)
class Login:
    """Who we are to one registry."""

    registry: str
    """Host and port; `docker.io` for Docker Hub."""
    username: str
    password: SecretStr


@dataclass(frozen=True)
class Pulling:
    """The operator's word on fetching images."""

    policy: Literal["never", "missing"] = "never"
    """`missing` fetches what the engine has not."""
    seconds: float = 30
    """For one image, all tries together. Few, where a sandbox waits for it."""
    logins: tuple[Login, ...] = ()
    """Where they say nothing about a registry, what `docker login` wrote is used."""
    config: str | None = None
    """Docker's configuration file; found as `docker` does if None."""
    tries: int = 3
    """When the network fails."""
    pause: float = 1.0
    """Seconds before the second try, twice as long before each later one."""


def pull(api: docker.APIClient, name: str, pulling: Pulling, on_progress: OnProgress | None = None) -> None:
    """Fetch an image, also one that is there, for a newer one may have its tag.

    Raises SandboxError `image_name_invalid`, `image_not_found`, `image_platform_mismatch`, `image_pull_timeout`,
    `image_pull_failed`, `registry_login_failed`.
    """
    wanted = parse_reference(name)
    deadline = time.monotonic() + pulling.seconds
    for attempt in itertools.count(1):
        try:
            _try(api, wanted, pulling, deadline, _Progress(wanted.name, on_progress or _LOG.info))
            return
        except SandboxError as error:
            if error.code != "image_pull_failed" or attempt >= pulling.tries:
                raise
            pause = pulling.pause * 2 ** (attempt - 1)
            if time.monotonic() + pause >= deadline:
                raise _late(wanted, pulling, f"; {error.message}") from None
            _LOG.warning("image %s: try %d of %d: %s", wanted.name, attempt, pulling.tries, error.message)
            time.sleep(pause)


def stream(api: docker.APIClient, path: str, deadline: float, **request: Any) -> Generator[Mapping[str, Any]]:
    """Messages with which the engine answers a POST; closing the stream ends what the engine does.

    Raises TimeoutError at the deadline (of time.monotonic), APIError when the engine refuses.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    late = threading.Event()
    try:
        address = f"{api.base_url}/v{api.api_version}{path}"
        response = api.post(address, stream=True, timeout=(min(seconds, 60), seconds), **request)
    except RequestException as error:
        if time.monotonic() >= deadline - 0.01:
            raise TimeoutError from error
        raise
    lines = CancellableStream(response.iter_lines(), response)

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError, DockerException):  # it ended by itself meanwhile
            lines.close()

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        if response.status_code >= 400:
            text = _explained(response.content)
            raise APIError(text, response=response, explanation=text)
        for line in lines:
            if line:
                yield json.loads(line)
        if late.is_set():
            raise TimeoutError
    finally:
        timer.cancel()
        response.close()


def _explained(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:1_000].decode(errors="replace")


def _try(api: docker.APIClient, wanted: Reference, pulling: Pulling, deadline: float, progress: "_Progress") -> None:
    login = _login(wanted, pulling)
    headers = {"X-Registry-Auth": auth.encode_header(login)} if login else {}
    params = {"fromImage": wanted.repository, "tag": wanted.tag}
    try:
        with contextlib.closing(stream(api, "/images/create", deadline, params=params, headers=headers)) as messages:
            for message in messages:
                if "error" in message:
                    raise _error(wanted, str(message["error"]), login)
                progress.add(message)
        api.inspect_image(wanted.name)  # type: ignore[no-untyped-call]
    except TimeoutError:
        raise _late(wanted, pulling, f" ({progress.text()})") from None
    except ImageNotFound:
        raise _error(wanted, "the engine's answer broke off", login) from None
    except APIError as error:
        raise _error(wanted, str(error.explanation or error), login) from None
    except (DockerException, OSError, ValueError) as error:
        raise _error(wanted, f"the engine's answer broke off: {error}", login) from None
    progress.end()


def _login(wanted: Reference, pulling: Pulling) -> dict[str, Any] | None:
    """What the engine shows to the registry; None for nobody."""
    for login in pulling.logins:
        if login.registry == wanted.registry:
            secret = login.password.get_secret_value()
            return {"username": login.username, "password": secret, "serveraddress": login.registry}
    try:
        found = auth.load_config(pulling.config).resolve_authconfig(wanted.registry)
    except (DockerException, OSError, ValueError) as error:
        raise SandboxError(
            "registry_login_failed",
            f"who we are to {wanted.registry} could not be read from Docker's configuration: {type(error).__name__}",
            hint="log in again with `docker login`",
        ) from None
    return dict(found) if found else None


def _error(wanted: Reference, text: str, login: Mapping[str, Any] | None) -> SandboxError:
    """What the engine or the registry said, as an error of ours without what we showed them."""
    lower = text.lower()
    code = next((code for code, words in _REASONS if any(word in lower for word in words)), "image_pull_failed")
    for key, value in (login or {}).items():
        if value and key.lower() in ("password", "identitytoken", "auth", "registrytoken"):
            text = text.replace(str(value), "***")
    who = "no login" if not login else "the login that was given"
    hints = {
        "image_not_found": f"check the name; if it is private, run `docker login {wanted.registry}` first",
        "image_platform_mismatch": "choose an image that is made for the engine's platform",
        "registry_login_failed": f"{wanted.registry} refused {who}: run `docker login {wanted.registry}`",
        "no_space": "make room on the engine's disk, for example with `docker image prune`",
        "image_pull_failed": f"see whether the engine reaches {wanted.registry}; pull ahead: {_ahead(wanted)}",
    }
    return SandboxError(code, f"image {wanted.name} could not be pulled: {text[:1_000]}", hint=hints[code])


def _late(wanted: Reference, pulling: Pulling, how: str) -> SandboxError:
    return SandboxError(
        "image_pull_timeout",
        f"image {wanted.name} was not pulled within {pulling.seconds:g} s{how}",
        hint=f"pull it ahead, which may take its time: {_ahead(wanted)}",
    )


def _ahead(wanted: Reference) -> str:
    return f"`sandpiper sandbox pull {wanted.name}`"


class _Progress:
    """Messages of one pull -> now and then a line: layers, bytes."""

    def __init__(self, name: str, say: OnProgress) -> None:
        self._name, self._say = name, say
        self._layers: dict[str, tuple[int, int, bool]] = {}
        self._next = time.monotonic() + _EVERY

    def add(self, message: Mapping[str, Any]) -> None:
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return
        detail = message.get("progressDetail") or {}
        done, total, _ = self._layers.get(layer, (0, 0, False))
        if status == "Downloading":
            done, total = int(detail.get("current") or done), int(detail.get("total") or total)
        elif status in ("Download complete", "Extracting", "Pull complete"):
            done = total
        self._layers[layer] = (done, total, status in ("Pull complete", "Already exists"))
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._say(f"image {self._name}: {self.text()}")

    def text(self) -> str:
        """How far it is."""
        layers = self._layers.values()
        ready, done, total = (
            sum(each[2] for each in layers),
            sum(each[0] for each in layers),
            sum(each[1] for each in layers),
        )
        return f"{ready} of {len(layers)} layers, {done / 1e6:.1f} of {total / 1e6:.1f} MB"

    def end(self) -> None:
        self._say(f"image {self._name}: pulled, {self.text()}")
