"""The folder of a dead sandbox -> nothing, as far as our own rights go."""

import logging
import subprocess
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox.workspace.mounts import release

_LOG = logging.getLogger(__name__)


def remove_folder(folder: Path) -> bool:
    """Remove it with all that is mounted and written in it; True when it is gone."""
    try:
        release(folder)
    except SandboxError as error:
        _LOG.warning("folder %s: not removed: %s", folder, error)
        return False
    if not _rm(folder):
        # The task may have taken rights from its own folders, and so from us where we are the same user.
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], capture_output=True, check=False)
        _rm(folder)
    return not folder.exists()


def _rm(folder: Path) -> bool:
    # Not shutil.rmtree: a hostile tree is deeper than Python's stack.
    done = subprocess.run(["rm", "-rf", "--one-file-system", "--", str(folder)], capture_output=True, check=False)
    return done.returncode == 0 and not folder.exists()
