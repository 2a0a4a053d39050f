"""What every provider of sandboxes does, as checks: how sandboxes are made, found, halted and ended, what is left.

A check is given a provider, the checkout (`contracts_sandbox.make_checkout`) and an empty folder for blobs.
"""

from bot.testing.contracts_collected import COLLECTED
from bot.testing.contracts_given import ProviderCheck, named
from bot.testing.contracts_inventory import INVENTORY, INVENTORY_ISOLATED
from bot.testing.contracts_shapes import SHAPES, SHAPES_DISK, SHAPES_IMAGES, SHAPES_ISOLATED, SHAPES_NETWORKS
from bot.testing.contracts_vitals import VITALS, VITALS_LIMITED
from bot.types.network import NetworkMode

EVERY_NETWORK: frozenset[NetworkMode] = frozenset(("none", "isolated", "restricted", "bridge"))


def provider_contract(
    *,
    isolated: bool = True,
    images: bool = True,
    limits: bool = True,
    disk: bool = True,
    networks: frozenset[NetworkMode] = EVERY_NETWORK,
) -> list[tuple[str, ProviderCheck]]:
    """Checks that are given a provider, the checkout and an empty folder for blobs.

    What a provider does not claim is left out: to keep the task from the host (`isolated`), other images than `host`,
    to bound memory and processes (`limits`), to bound the disk, further networks.
    """
    checks = [*COLLECTED, *VITALS, *INVENTORY, *SHAPES]
    checks += (*INVENTORY_ISOLATED, *SHAPES_ISOLATED) if isolated else ()
    checks += VITALS_LIMITED if limits else ()
    checks += SHAPES_DISK if disk else ()
    checks += SHAPES_IMAGES if images else ()
    checks += [check for mode, check in SHAPES_NETWORKS.items() if mode in networks]
    return named(checks)
