"""An answer that needs no sandbox -> what stands on the forge: its outputs, and of an undo the truth about each."""

from __future__ import annotations

from bot.deps import Deps, tell
from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.render.undo import undone
from bot.publishing import put
from bot.types.decision import Answer
from bot.types.output import Output, Receipt
from bot.types.run import Run

REFUSALS = frozenset({"forbidden", "locked", "archived"})
"""What the forge answers to a token or an account that may not do it, whichever way it is asked again."""


def answer(run: Run, decision: Answer, deps: Deps) -> Run:
    """Publish its outputs, each once. Raises ForgeError as the forge answers."""
    for output in decision.outputs:
        run = _tried(run, output, decision, deps)
    if decision.undoing is None:
        return run
    for note in undone(run.event, decision.undoing, run.receipts):
        run = put(run, note, deps)
    return run


def _tried(run: Run, output: Output, decision: Answer, deps: Deps) -> Run:
    """Publish it; of what may stay undone, the reason goes on the record instead."""
    try:
        return put(run, output, deps)
    except ForgeError as error:
        spared = decision.optional or decision.undoing is not None
        if not spared or not (isinstance(error, NotFound | Conflict) or error.code in REFUSALS):
            raise
        tell(deps, "publish", f"{output.kind}: left out: {error.message}")
        receipt = Receipt(key=output.key, kind=output.kind, remark=error.message, done=False)
        run = deps.store.load(run.run_id) or run  # with the intent that the failed write left behind
        return deps.store.save(run.changed(receipts=(*run.receipts, receipt)))
