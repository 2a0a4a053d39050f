"""Settings and the keys that are set -> which model, and with which key and address. Pure; imports no provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import SecretStr

from bot.errors import ConfigurationError
from bot.settings import Settings


class Provider(NamedTuple):
    """A company that runs models."""

    variables: tuple[str, ...]
    """Environment variables that may hold its key, best first."""
    default: str
    """A model of it that is good at working with tools."""


PROVIDERS: dict[str, Provider] = {
    "anthropic": Provider(("ANTHROPIC_API_KEY",), "anthropic/claude-sonnet-5-5"),
    "openai": Provider(("OPENAI_API_KEY",), "openai/gpt-6-sol"),
    "gemini": Provider(("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini/gemini-3.8-flash"),
    "mistral": Provider(("MISTRAL_API_KEY",), "mistral/devstral-latest"),
    "deepseek": Provider(("DEEPSEEK_API_KEY",), "deepseek/deepseek-v4-pro"),
    "openrouter": Provider(("OPENROUTER_API_KEY",), "openrouter/anthropic/claude-sonnet-5"),
    "xai": Provider(("XAI_API_KEY",), "xai/grok-4.20"),
    "groq": Provider(("GROQ_API_KEY",), "groq/openai/gpt-oss-120b"),
    "cerebras": Provider(("CEREBRAS_API_KEY",), "cerebras/gpt-oss-120b"),
}
"""litellm's name of the provider -> what we know about it; the first one whose key is set is taken."""

NO_KEY = "none"
"""What a server without authentication is sent: the client library insists on some key."""


class Access(NamedTuple):
    """How a model is reached."""

    model: str
    """litellm's notation, `provider/name`."""
    key: SecretStr | None
    """None where litellm finds credentials by itself (cloud accounts)."""
    url: str | None
    """None for the provider's own address."""


def choose_model(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """The operator's model, else the default of the first provider whose key is set, else None."""
    if settings.model:
        return _qualified(settings.model, settings)
    for provider in PROVIDERS.values():
        if _key_in(environ, provider):
            return provider.default
    return None


def access(settings: Settings, name: str | None, environ: Mapping[str, str]) -> Access:
    """How the model `name`, or the default one, is reached. Raises ConfigurationError.

    A repository's policy may ask for a model: it gets one only if the operator listed it, and the operator's key goes
    to no provider but the one that the operator set it for.
    """
    default = choose_model(settings, environ)
    allowed = {_qualified(each, settings) for each in settings.models} | ({default} if default else set())
    model = _qualified(name, settings) if name else default
    if model is None:
        hint = f"Set SANDPIPER_MODEL, or one of {', '.join(each.variables[0] for each in PROVIDERS.values())}."
        raise ConfigurationError("model_missing", "No model is set, and no provider's key either.", hint=hint)
    if model not in allowed:
        names = ", ".join(sorted(allowed)) or "none"
        raise ConfigurationError(
            "model_not_allowed",
            f"The model `{model}` is not among those that the operator allows ({names}).",
            hint="Add it to SANDPIPER_MODELS, or take `model` out of the policy.",
        )
    operators = _provider_of(model) == _provider_of(default or model)
    url = settings.model_url if operators else None
    key = settings.model_key if operators else None
    provider = PROVIDERS.get(_provider_of(model))
    if key is None and provider:
        found = _key_in(environ, provider)
        key = SecretStr(found) if found else None
        if key is None and url is None:
            raise ConfigurationError(
                "model_key_missing",
                f"The model `{model}` needs a key, and none is set.",
                hint=f"Set {provider.variables[0]}, or SANDPIPER_MODEL_KEY.",
            )
    if key is None and url is not None:
        key = SecretStr(NO_KEY)
    return Access(model, key, url)


def _qualified(name: str, settings: Settings) -> str:
    """With a server of the operator's own a bare name means a model there, which speaks OpenAI's protocol."""
    return f"openai/{name}" if settings.model_url and "/" not in name else name


def _provider_of(model: str) -> str:
    provider, slash, _ = model.partition("/")
    if slash:
        return provider
    return "anthropic" if model.startswith("claude") else "openai" if model.startswith("gpt") else model


def _key_in(environ: Mapping[str, str], provider: Provider) -> str:
    return next((key for name in provider.variables if (key := environ.get(name, "").strip())), "")
