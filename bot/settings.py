"""Environment variables -> one frozen Settings, read once at the door. The operator's word, not the repository's.

Every field can be set as SANDPIPER_<FIELD>; the Action's inputs are the same names with dashes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator

from bot.errors import ConfigurationError
from bot.types.network import HostPattern
from bot.types.value import Value

PREFIX = "SANDPIPER_"
FALLBACKS = {"token": "GITHUB_TOKEN", "api_url": "GITHUB_API_URL", "server_url": "GITHUB_SERVER_URL"}
"""Variables that GitHub's runner sets, used where ours is not set."""
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Settings(Value):
    """What the operator decides."""

    token: SecretStr | None = None
    """GitHub token: the job's own, a personal one, or an installation's."""
    tokens: Mapping[str, str] = Field(default_factory=dict)
    """Organisation -> name of the variable that holds its token, as `acme=ACME_TOKEN`; others use `token`."""
    app_id: str | None = Field(default=None, pattern=r"^([0-9]{1,20}|Iv[A-Za-z0-9.]{8,60})$")
    """Number or client id of a GitHub App; with its key it takes the place of `token`."""
    app_key: SecretStr | None = None
    """The App's private key in PEM; a backslash and an n may stand for the end of a line."""
    app_key_file: Path | None = None
    """File that holds the App's private key; nobody but its owner may read it."""
    installation: int | None = Field(default=None, ge=1)
    """Number of the App's installation; the event's, or looked up by the repository, if None."""
    webhook_secret: SecretStr | None = None
    """Secret of the App's webhook, which `sandpiper serve` can't do without."""
    webhook_secret_old: SecretStr | None = None
    """The one before, good as well while the secret is being replaced."""
    workers: int = Field(default=2, ge=1, le=64)
    """Runs that `sandpiper serve` works on at once; never two on one issue or pull request."""
    inbox_limit: int = Field(default=1000, ge=1, le=100_000)
    """Deliveries that may wait; GitHub is told to come again when there are more."""
    api_url: str | None = None
    """Address of GitHub's REST API; the public one if None, a GitHub Enterprise Server's otherwise."""
    server_url: str | None = None
    """Address of GitHub's pages and of git over HTTPS; derived like `api_url`."""
    model: str | None = None
    """Model in litellm's notation (`provider/name`); chosen by which provider's key is set if None."""
    model_key: SecretStr | None = None
    """Key of the model's provider; the provider's own variable (ANTHROPIC_API_KEY, ...) if None."""
    model_url: str | None = None
    """Address of an OpenAI-compatible server, for models that run elsewhere."""
    models: tuple[str, ...] = ()
    """Further models that a repository's policy may choose."""
    offline: bool = True
    """Whether a model of our own that learns from the repository's past helps in triage, or takes the model's place."""
    encoder: Literal["auto", "none", "minilm"] = "auto"
    """Sentence encoder of the offline model: `minilm`, `none`, or `auto`, which takes it where its weights are."""
    encoder_path: Path | None = None
    """File with the encoder's weights; found in the state folder or among the installed packages if None."""
    phrase: str = Field(default="/bot", min_length=2, max_length=40, pattern=r"^[/@][A-Za-z0-9][A-Za-z0-9_-]*$")
    """Word that starts a command."""
    mention: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$")
    """The bot's own name: a comment that begins with `@name` is a command, too."""
    label_prefix: str = Field(default="bot:", min_length=1, max_length=20)
    """Beginning of labels that start a task."""
    policy: str = ".github/bot.yml"
    """Path of the repository's policy, read from the default branch only."""
    sandbox: str = "auto"
    """Sandbox provider: `docker`, `bubblewrap`, or `auto`, which takes the first of them that works."""
    image: str = "host"
    """Image of sandboxes for tasks that name none."""
    images: tuple[str, ...] = ()
    """Further images that a repository's policy may choose; `*` for any."""
    pull: Literal["never", "missing"] = "never"
    """Whether images that are not on the machine are pulled."""
    oci_runtime: str | None = None
    """The engine's runtime for sandboxes, such as `runsc` (gVisor); the engine's default if None."""
    hosts: tuple[str, ...] = ()
    """Hosts that a repository's policy may open to its sandboxes: `name`, `*.name` for all below it, `*` for any."""
    private_hosts: tuple[HostPattern, ...] = ()
    """Those of them whose addresses may be private, such as a mirror of the operator's own."""
    caches: bool = True
    """Whether sandboxes share what package managers downloaded; only runs that a writer started may add to it."""
    runtimes: tuple[str, ...] = ("builtin", "command", "triage")
    """Runtimes that a repository's policy may choose."""
    trusted_bots: tuple[int, ...] = ()
    """Numeric ids of bot accounts that may start tasks like people."""
    max_minutes: float = Field(default=60, gt=0, le=360)
    """Ceiling for a run's wall clock, in minutes, whatever policy says."""
    max_steps: int = Field(default=100, ge=1, le=1000)
    """Ceiling for calls of the model in a run."""
    max_usd: float = Field(default=5.0, ge=0, le=1000)
    """Ceiling for the price of a run, in US dollars."""
    max_memory_mb: int = Field(default=8192, ge=64)
    """Ceiling for a sandbox's memory, in MiB."""
    max_disk_mb: int = Field(default=16_384, ge=16)
    """Ceiling for what a sandbox may write into its workspace, in MiB."""
    state: Path = Path(".sandpiper")
    """Folder for runs and their artifacts."""
    dry_run: bool = False
    """Do everything but write to the forge."""
    audit_log: Path | None = None
    """File that records every step of every sandbox, hash-chained; `audit.jsonl` in the state folder if None."""
    metrics_file: Path | None = None
    """File for Prometheus' text format, replaced as sandboxes come and go; needs the extra `metrics`."""

    @field_validator("tokens", mode="before")
    @classmethod
    def _paired(cls, value: Any) -> Any:
        """`acme=ACME_TOKEN other=OTHER_TOKEN`, between commas or spaces."""
        if not isinstance(value, str):
            return value
        pairs = [each.partition("=") for each in value.replace(",", " ").split()]
        for number, (left, _, right) in enumerate(pairs, 1):
            if not (_OWNER.fullmatch(left) and right):  # not echoed: it may be a token that was put there
                raise ValueError(f"word {number} is not ORGANISATION=VARIABLE")
        if len({left for left, _, _ in pairs}) < len(pairs):
            raise ValueError("an organisation is named twice")
        return {left: right for left, _, right in pairs}

    @field_validator("tokens")
    @classmethod
    def _named(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        """A token in a variable's place is not echoed."""
        for owner, variable in value.items():
            if not _VARIABLE.fullmatch(variable):
                raise ValueError(f"what {owner[:100]!r} stands beside is not the name of a variable")
        return value

    @field_validator("app_key")
    @classmethod
    def _lines(cls, value: SecretStr | None) -> SecretStr | None:
        """A variable of one line holds a key of many."""
        return SecretStr(value.get_secret_value().replace("\\n", "\n")) if value else value

    @field_validator("mention", mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        """As people write it, or as GitHub names an App's account."""
        return value.removeprefix("@").removesuffix("[bot]") if isinstance(value, str) else value

    @field_validator("models", "images", "hosts", "private_hosts", "runtimes", "trusted_bots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Variables and Action inputs are text: a list is words between commas or spaces."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def load_settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Settings from variables, then `overrides` that are not None. Raises ConfigurationError naming the variable."""
    values: dict[str, Any] = {"state": _default_state(environ)}
    for name in Settings.model_fields:
        for variable in (PREFIX + name.upper(), FALLBACKS.get(name, "")):
            text = environ.get(variable, "").strip()
            if text:
                values[name] = text
                break
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise ConfigurationError(
            "invalid_setting", f"{PREFIX}{name.upper()}: {first['msg']}", hint=_describe(name)
        ) from None


def _default_state(environ: Mapping[str, str]) -> Path:
    if temp := environ.get("RUNNER_TEMP"):
        return Path(temp) / "sandpiper"
    home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", ".")) / ".local" / "state")
    return Path(home) / "sandpiper"


def _describe(name: str) -> str:
    field = Settings.model_fields.get(name)
    return (field.description or "") if field else ""
