"""litellm, imported at the last moment and kept from reading files, the network and the log on its own account."""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

IMPORT_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its price list from the network
    "LITELLM_MODE": "PRODUCTION",  # else it loads `.env` of the current folder, which may be a stranger's checkout
    "LITELLM_LOG": "ERROR",
}
_lock = threading.Lock()


def litellm() -> Any:
    """The library. The first call takes seconds."""
    with _lock:
        with _environment(IMPORT_ENVIRONMENT):
            module: Any = importlib.import_module("litellm")
        module.suppress_debug_info = True
        module.telemetry = False
        module.turn_off_message_logging = True
        for name in ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return module


def warm() -> None:
    """Start the import in the background; a later `litellm()` waits for it, and also reports its errors."""
    threading.Thread(target=_quietly, name="import-litellm", daemon=True).start()


def _quietly() -> None:
    try:
        litellm()
    except ImportError:
        return  # whoever needs it imports it again and sees the error


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of this process for a moment: they must not reach later child processes."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
