"""What every sandbox does, as checks: run them on an adapter of your own.

`sandbox_contract()` gives checks for one living sandbox over `make_checkout` with LIMITS, all may use the same one;
bot.testing.contracts_provider has those that need sandboxes of their own. A check raises AssertionError.
"""

from bot.testing.contracts_closed import CLOSED
from bot.testing.contracts_commands import COMMANDS
from bot.testing.contracts_endings import ENDINGS, ENDINGS_ISOLATED, ENDINGS_LIMITED
from bot.testing.contracts_files import FILES
from bot.testing.contracts_given import LIMITS as LIMITS
from bot.testing.contracts_given import RUN_ID as RUN_ID
from bot.testing.contracts_given import SECRET as SECRET
from bot.testing.contracts_given import SandboxCheck as SandboxCheck
from bot.testing.contracts_given import make_checkout as make_checkout
from bot.testing.contracts_given import named
from bot.testing.contracts_given import refusal as refusal
from bot.testing.contracts_given import shell as shell
from bot.testing.contracts_given import template as template


def sandbox_contract(*, isolated: bool = True, limits: bool = True) -> list[tuple[str, SandboxCheck]]:
    """Checks for a living sandbox. Each leaves it usable.

    `isolated`: it claims to keep the task from the host. `limits`: it bounds memory and processes. Without the claim
    the checks are left out, because they would do to the machine what a sandbox has to survive.
    """
    checks = (*COMMANDS, *FILES, *ENDINGS)
    checks += (*CLOSED, *ENDINGS_ISOLATED) if isolated else ()
    checks += ENDINGS_LIMITED if limits else ()
    return named(checks)
