"""A template's `image` -> an image that the engine has: this machine's, a name, a Dockerfile, a devcontainer.json.

What the checkout names itself is its author's word: it is followed only where the operator allows that image, or the
checkout is trusted.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound

from bot.errors import SandboxError
from bot.sandbox.devcontainer import read_devcontainer
from bot.sandbox.docker.build import Building, Recipe, build
from bot.sandbox.docker.container import Image
from bot.sandbox.docker.hostimage import HostImages
from bot.sandbox.docker.pull import OnProgress, Pulling, pull
from bot.sandbox.docker.reference import parse_reference
from bot.types.sandbox import Template

HOST = "host"
_DOCKERFILE, _DEVCONTAINER = "dockerfile:", "devcontainer:"
_WORKERS = 3
"""Images that are fetched at once: more share one line and make all of them late."""
_ALSO_RUNS: Mapping[str, tuple[str, ...]] = {"amd64": ("386",), "arm64": ("arm",)}
"""What an engine runs besides its own architecture."""


@dataclass(frozen=True)
class Resolved:
    """What a template's image came down to."""

    image: Image
    env: Mapping[str, str] = field(default_factory=dict)
    """What a devcontainer.json sets; the template's own environment goes over it."""
    notes: tuple[str, ...] = ()
    """Sentences for the record: what was asked for and left out."""


@dataclass(frozen=True)
class ImageRules:
    """The operator's word on images."""

    pulling: Pulling = field(default_factory=Pulling)
    building: Building = field(default_factory=Building)
    allowed: tuple[str, ...] = ()
    """Images that a checkout's devcontainer.json may name though the checkout is not trusted; `*` for any."""


def resolve(
    api: docker.APIClient,
    template: Template,
    environ: Mapping[str, str],
    host: HostImages,
    *,
    rules: ImageRules,
    trusted: bool = False,
    on_progress: OnProgress | None = None,
) -> Resolved:
    """The image, in the engine. `trusted`: a writer of the repository wrote the checkout, so that it may be built.

    Raises SandboxError `image_not_found`, `image_not_allowed`, `image_platform_mismatch`, those of `pull`, `build` and
    `read_devcontainer`, and what the engine raises.
    """
    name = template.image
    checkout = Path(template.checkout or os.devnull)
    if name == HOST:
        return Resolved(host.image(api, environ))
    if name.startswith(_DOCKERFILE):
        return Resolved(
            _built(api, checkout, Recipe(name.removeprefix(_DOCKERFILE)), rules, trusted, on_progress),
        )
    if not name.startswith(_DEVCONTAINER):
        return Resolved(have(api, name, rules.pulling, on_progress))
    found = read_devcontainer(checkout, name.removeprefix(_DEVCONTAINER))
    if found.dockerfile:
        recipe = Recipe(found.dockerfile, found.context, found.target, found.args)
        image = _built(api, checkout, recipe, rules, trusted, on_progress)
    elif trusted or "*" in rules.allowed or found.image in rules.allowed:
        image = have(api, found.image, rules.pulling, on_progress)
    else:
        raise SandboxError(
            "image_not_allowed",
            f"the checkout's devcontainer.json names {found.image[:200]!r}, an image that the operator does not allow",
            hint="add it to SANDPIPER_IMAGES, or set `image` for the task",
        )
    return Resolved(image, found.env, found.notes)


def have(api: docker.APIClient, name: str, pulling: Pulling, on_progress: OnProgress | None = None) -> Image:
    """An image by name, fetched if that is allowed. Raises SandboxError as `resolve`."""
    wanted = parse_reference(name).name
    found = _inspect(api, wanted)
    if found is None and pulling.policy == "missing":
        pull(api, wanted, pulling, on_progress)
        found = _inspect(api, wanted)
    if found is None:
        raise SandboxError(
            "image_not_found",
            f"there is no image {wanted!r} on this machine",
            hint=f"`sandpiper sandbox pull {wanted}`, or let missing images be pulled",
        )
    _check_platform(api, wanted, found)
    return Image(wanted)


@dataclass(frozen=True)
class Fetched:
    """What became of one image that was fetched ahead."""

    name: str
    error: SandboxError | None = None
    """Why it is not there; None when it is."""


def prefetch(
    api: docker.APIClient,
    names: Sequence[str],
    host: HostImages,
    *,
    pulling: Pulling,
    warn: Callable[[str], None],
    refresh: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[Fetched, ...]:
    """Have several images ahead, at most three at once; one that fails is warned of and stops no other.

    What the checkout defines (`dockerfile:`, `devcontainer:`) is left out. With `refresh`, what is there is fetched
    again, for a newer image may have the tag.
    """
    asking = Pulling(**{**vars(pulling), "policy": "missing"})

    def fetch(name: str) -> Fetched:
        try:
            if name == HOST:
                host.name(api)
            elif refresh and not parse_reference(name).pinned:
                pull(api, name, asking, on_progress)
            else:
                have(api, name, asking, on_progress)
        except SandboxError as error:
            warn(f"image {name[:200]}: {error.message}")
            return Fetched(name, error)
        except (DockerException, OSError) as error:
            warn(f"image {name[:200]}: the engine failed: {error}")
            return Fetched(name, SandboxError("docker_failed", f"the engine failed: {error}", hint="see its log"))
        return Fetched(name)

    wanted = [each for each in dict.fromkeys(names) if not each.startswith((_DOCKERFILE, _DEVCONTAINER))]
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="sandpiper-pull") as pool:
        return tuple(pool.map(fetch, wanted))


def _built(
    api: docker.APIClient,
    checkout: Path,
    recipe: Recipe,
    rules: ImageRules,
    trusted: bool,
    on_progress: OnProgress | None,
) -> Image:
    if not trusted:
        raise SandboxError(
            "image_not_allowed",
            f"{recipe.dockerfile!r} is not built: a build runs the checkout's code outside of the sandbox",
            hint="only a run that a writer of the repository started on its own code may build an image",
        )
    name = build(
        api,
        checkout,
        recipe,
        building=rules.building,
        have=lambda base: have(api, base, rules.pulling, on_progress),
        on_progress=on_progress,
    )
    return Image(name)


def _inspect(api: docker.APIClient, name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None
    return found


def _check_platform(api: docker.APIClient, name: str, image: Mapping[str, Any]) -> None:
    """An image for another machine would end at once with an exec format error."""
    engine = api.version()
    system, machine = str(image.get("Os", "linux")), str(image.get("Architecture", ""))
    fits = machine in ("", engine["Arch"], *_ALSO_RUNS.get(engine["Arch"], ()))
    if system != engine["Os"] or not fits:
        raise SandboxError(
            "image_platform_mismatch",
            f"image {name} is made for {system}/{machine}, the engine runs {engine['Os']}/{engine['Arch']}",
            hint="choose an image that is made for the engine's platform, or one for several",
        )
