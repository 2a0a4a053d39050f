"""Options of `sandbox run` and `sandbox create` -> a Template, or the first option that makes no sense."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from pydantic import ValidationError

from bot.cli.sandbox_reach import warn
from bot.errors import ConfigurationError
from bot.sandbox.presets import DEFAULT, PRESETS, overallocation, preset
from bot.settings import Settings
from bot.types.network import Network, NetworkMode
from bot.types.sandbox import Template
from bot.types.task import Limits

Function = TypeVar("Function", bound=Callable[..., Any])
LOCAL = "local"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1.0, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0 * 1024}
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_OPTIONS = {"memory_mb": "--memory", "disk_mb": "--disk", "command_seconds": "--seconds", "minutes": "--minutes"}


def size(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Whole MiB from `512`, `512m` or `2g`."""
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no size such as 512, 512m or 2g", context, option)
    return max(1, round(float(found[1]) * _UNITS[found[2].lower()]))


def template_options(function: Function) -> Function:
    """Everything that a sandbox is made from, as options."""
    for option in reversed(_options()):
        function = option(function)
    return function


def _options() -> tuple[Callable[[Function], Function], ...]:
    folder = click.Path(path_type=Path, exists=True, file_okay=False)
    return (
        click.option("--checkout", type=folder, help="Folder that it works on; else this repository. Never written."),
        click.option("--empty", is_flag=True, help="Begin with an empty workspace."),
        click.option("--image", help="`host`, an image's name, dockerfile:PATH or devcontainer:PATH."),
        click.option("--provider", metavar="NAME", help="auto, docker, bubblewrap or local."),
        click.option("--unisolated", is_flag=True, help="Allow the provider local, which shuts nothing in."),
        click.option("--preset", "preset_name", type=click.Choice(list(PRESETS)), help=f"A size; {DEFAULT} if none."),
        click.option("--memory", metavar="SIZE", callback=size, help="Memory, swap included: 512m, 2g."),
        click.option("--cpus", type=float, help="Processors."),
        click.option("--pids", type=int, help="Processes and threads."),
        click.option("--disk", metavar="SIZE", callback=size, help="What it may write: 512m, 2g."),
        click.option("--minutes", type=float, help="Wall clock of the sandbox."),
        click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable of every command."),
        click.option("--network", type=click.Choice(get_args(NetworkMode)), help="none if not given."),
        click.option("--allow", multiple=True, metavar="HOST", help="A host to let through; means restricted."),
        click.option("--run", "run_id", metavar="ID", help="Run that it belongs to, 16 hexadecimal digits."),
        click.option("--read-only", is_flag=True, help="The workspace can't be written either."),
        click.option("--caches", is_flag=True, help="Share what package managers downloaded for this checkout."),
        click.option("--trusted", is_flag=True, help="You trust the checkout: its Dockerfile may be built."),
        click.option("--gpu", is_flag=True, help="All GPUs of the machine."),
        click.option("--runtime", help="OCI runtime of the engine, such as runsc (gVisor)."),
        click.option("--pull", is_flag=True, help="Fetch the image if it is missing."),
    )


@dataclass(frozen=True)
class Asked:
    """What somebody wants."""

    template: Template
    provider: str
    unisolated: bool


def asked_for(settings: Settings, options: dict[str, Any], *, seconds: float | None = None) -> Asked:
    """The options' meaning. Raises ConfigurationError that names the option."""
    provider = options["provider"] or settings.sandbox
    if provider == LOCAL and not options["unisolated"]:
        hint = "--unisolated says that you know; better: --provider auto"
        raise ConfigurationError("local_not_allowed", "the provider local isolates nothing", hint=hint)
    if options["unisolated"] and provider != LOCAL:
        hint = f"--provider {LOCAL}, or leave it out"
        raise ConfigurationError("bad_option", f"--unisolated makes no sense with {provider}", hint=hint)
    checkout = _checkout(options["checkout"], options["empty"])
    try:
        template = preset(options["preset_name"] or DEFAULT).applied(
            Template(
                image=options["image"] or settings.image,
                run_id=options["run_id"] or secrets.token_hex(8),
                checkout=str(checkout) if checkout else None,
                env=_variables(options["env"]),
                network=_network(options, provider, settings.private_hosts),
                runtime=options["runtime"] or settings.oci_runtime,
                trusted=options["trusted"],
                read_only=options["read_only"],
                cache_scope=f"checkout:{checkout}" if options["caches"] and checkout else "",
            )
        )
        template = template.changed(
            limits=_limits(template.limits, options, seconds), gpu=template.gpu or options["gpu"]
        )
    except ValidationError as error:
        raise _bad(error) from None
    _warn_of_size(template.limits, options["preset_name"] or DEFAULT)
    return Asked(template, provider, options["unisolated"])


def _checkout(given: Path | None, empty: bool) -> Path | None:
    if empty:
        if given is not None:
            raise ConfigurationError("bad_option", "--empty and --checkout exclude each other", hint="leave one out")
        return None
    if given is not None:
        return given.resolve()
    here = Path.cwd()
    found = next((each for each in (here, *here.parents) if (each / ".git").exists()), None)
    if found is None:
        hint = "go into one, name a folder with --checkout, or begin with --empty"
        raise ConfigurationError("no_checkout", f"{here} is in no repository", hint=hint)
    return found


def _network(options: dict[str, Any], provider: str, private: tuple[str, ...]) -> Network:
    mode, allow, learn = options["network"], options["allow"], options.get("learn", False)
    if provider == LOCAL and mode is None and not allow and not learn:
        return Network(mode="bridge")  # it is the machine's own, whatever one says
    if (allow or learn) and mode not in (None, "restricted"):
        option = "--allow" if allow else "--learn"
        raise ConfigurationError("bad_option", f"{option} means --network restricted, not {mode}", hint="leave one out")
    mode = "restricted" if allow or learn else mode or "none"
    return Network(mode=mode, allow=tuple(each.lower() for each in allow), private=private, learn=learn)


def _limits(limits: Limits, options: dict[str, Any], seconds: float | None) -> Limits:
    wanted = {
        "memory_mb": options["memory"],
        "cpus": options["cpus"],
        "pids": options["pids"],
        "disk_mb": options["disk"],
        "minutes": options["minutes"],
        "command_seconds": seconds,
    }
    if seconds is not None and options["minutes"] is None:
        wanted["minutes"] = max(limits.minutes, min(360.0, seconds / 60 + 1))  # the sandbox outlives its command
    return limits.changed(**{name: value for name, value in wanted.items() if value is not None})


def _variables(words: Sequence[str]) -> dict[str, str]:
    return dict(variable(word) for word in words)


def variable(word: str) -> tuple[str, str]:
    """`NAME=VALUE` taken apart. Raises ConfigurationError `bad_option`."""
    found = _VARIABLE.fullmatch(word)
    if found is None:
        name = word.partition("=")[0]
        raise ConfigurationError("bad_option", f"--env {name!r}: no NAME=VALUE", hint=f'--env "{name}=..."')
    return found[1], found[2]


def _bad(error: ValidationError) -> ConfigurationError:
    first = error.errors(include_input=False, include_url=False)[0]
    name = next((str(each) for each in reversed(first["loc"]) if isinstance(each, str)), "")
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}").replace("--run-id", "--run")
    reason = "no host name such as pypi.org or *.example.org:8443" if name == "allow" else first["msg"]
    return ConfigurationError("bad_option", f"{option}: {reason}", hint="sandpiper sandbox run --help")


def _warn_of_size(limits: Limits, size: str) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 20)
    processors = len(os.sched_getaffinity(0))
    if text := overallocation(limits, host_memory_mb=memory, host_cpus=processors, than=preset(size)):
        warn(text)
