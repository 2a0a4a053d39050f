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
    """Environment variables that may hold its key, best first; none where it wants no key."""
    default: str | None
    """A model of it that is good at working with tools; None where every customer names their own."""
    address: str = ""
    """Environment variable that holds its address, where every customer has their own."""
    needs_address: bool = False
    """Whether it can't be reached without one."""


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
    "azure": Provider(("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"), None, "AZURE_API_BASE", needs_address=True),
    "ollama": Provider((), None, "OLLAMA_API_BASE"),
    "ollama_chat": Provider((), None, "OLLAMA_API_BASE"),
}
"""litellm's name of the provider -> what we know about it; the first one whose key is set is taken."""

ALIASES = {"google": "gemini"}
"""What people call a provider -> litellm's name of it."""

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
        if provider.default and _key_in(environ, provider):
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
        names = ", ".join(each.variables[0] for each in PROVIDERS.values() if each.default)
        hint = f"Set SANDPIPER_MODEL, or one of {names}."
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
    if provider is None:
        return Access(model, SecretStr(NO_KEY) if key is None and url is not None else key, url)
    if key is None:
        found = _key_in(environ, provider)
        key = SecretStr(found) if found else None
    if key is None and url is None and provider.variables:
        raise ConfigurationError(
            "model_key_missing",
            f"The model `{model}` needs a key, and none is set.",
            hint=f"Set {provider.variables[0]}, or SANDPIPER_MODEL_KEY.",
        )
    url = url or _address_in(environ, provider, model)
    if key is None and url is not None:
        key = SecretStr(NO_KEY)
    return Access(model, key, url)


def _address_in(environ: Mapping[str, str], provider: Provider, model: str) -> str | None:
    """The customer's own address, None for the provider's. Raises ConfigurationError `model_url_missing`."""
    found = environ.get(provider.address, "").strip() if provider.address else ""
    if not found and provider.needs_address:
        message = f"The model `{model}` needs the address of your own deployment, and none is set."
        hint = f"Set {provider.address}, or SANDPIPER_MODEL_URL."
        raise ConfigurationError("model_url_missing", message, hint=hint)
    return found or None


def _qualified(name: str, settings: Settings) -> str:
    """litellm's name. With a server of the operator's own a bare one means a model there, which speaks OpenAI's
    protocol.
    """
    provider, slash, rest = name.partition("/")
    if not slash:
        return f"openai/{name}" if settings.model_url else name
    return f"{ALIASES.get(provider, provider)}/{rest}"


def _provider_of(model: str) -> str:
    provider, slash, _ = model.partition("/")
    if slash:
        return provider
    return "anthropic" if model.startswith("claude") else "openai" if model.startswith("gpt") else model


def _key_in(environ: Mapping[str, str], provider: Provider) -> str:
    return next((key for name in provider.variables if (key := environ.get(name, "").strip())), "")
