"""What undoes a run -> GitHub: a pull request closed, a branch deleted, a commit taken back; never with force."""

from __future__ import annotations

from bot.errors import ForgeError
from bot.forge.client import Client
from bot.types.output import ClosePull, DeleteBranch, Receipt, Revert


def close_pull(client: Client, path: str, output: ClosePull) -> Receipt:
    """Close a pull request of ours that is still open. `path` is `/repos/<owner>/<name>`."""
    raise ForgeError("undo_missing", "not written yet")


def delete_branch(client: Client, path: str, output: DeleteBranch) -> Receipt:
    """Delete a branch of ours where it stands at our own commit."""
    raise ForgeError("undo_missing", "not written yet")


def revert(client: Client, path: str, output: Revert, *, doubt: bool) -> Receipt:
    """Commit the reverse of our commit on the branch that holds it."""
    raise ForgeError("undo_missing", "not written yet")
