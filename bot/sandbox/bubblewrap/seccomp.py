"""A table of refused system calls -> a program of classic BPF for the kernel's seccomp, as `bwrap --seccomp` reads it.

Refused is what Docker's default profile refuses a process without capabilities; everything there needs a capability
that the sandbox has not, so the filter is the second fence: what a flaw of the kernel would hand out behind the first
one can't be reached. Calls that are newer than the table answer ENOSYS, as on an older kernel.

Sources: seccomp(2), the kernel's Documentation/userspace-api/seccomp_filter.rst, its tables of system calls, and
Docker's documentation "Seccomp security profiles for Docker".
"""

import errno
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LAST = 466
"""The last call of the table, `removexattrat`; numbers are the same on every machine from 424 on."""
_X32 = 0x40000000
"""Bit of x86-64's calls with 32-bit pointers, another way to each of them."""

_LOAD, _EQUAL, _LARGER, _AND, _RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGT|BPF_K, BPF_ALU|BPF_AND|BPF_K, BPF_RET|BPF_K."""
_NUMBER, _ARCH = 0, 4
"""Offsets in struct seccomp_data; the arguments follow."""
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
"""SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO (with the error's number)."""
REFUSED = ERRNO | errno.EPERM
UNKNOWN = ERRNO | errno.ENOSYS

_COMMON = MappingProxyType(
    {
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "io_uring_register": 427,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "fsconfig": 431,
        "fsmount": 432,
        "fspick": 433,
        "pidfd_getfd": 438,
        "process_madvise": 440,
        "mount_setattr": 442,
        "quotactl_fd": 443,
        "set_mempolicy_home_node": 450,
    }
)
# Name: (x86-64, arm64).
_OWN: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "acct": (163, 89),
        "add_key": (248, 217),
        "bpf": (321, 280),
        "chroot": (161, 51),
        "clock_adjtime": (305, 266),
        "clock_settime": (227, 112),
        "delete_module": (176, 106),
        "fanotify_init": (300, 262),
        "finit_module": (313, 273),
        "get_mempolicy": (239, 236),
        "init_module": (175, 105),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "keyctl": (250, 219),
        "lookup_dcookie": (212, 18),
        "mbind": (237, 235),
        "migrate_pages": (256, 238),
        "mount": (165, 40),
        "move_pages": (279, 239),
        "nfsservctl": (180, 42),
        "open_by_handle_at": (304, 265),
        "perf_event_open": (298, 241),
        "pivot_root": (155, 41),
        "quotactl": (179, 60),
        "reboot": (169, 142),
        "request_key": (249, 218),
        "set_mempolicy": (238, 237),
        "setdomainname": (171, 162),
        "sethostname": (170, 161),
        "setns": (308, 268),
        "settimeofday": (164, 170),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "syslog": (103, 116),
        "umount2": (166, 39),
        "unshare": (272, 97),
        "userfaultfd": (323, 282),
        "vhangup": (153, 58),
    }
)
_X86_ONLY: Mapping[str, int] = MappingProxyType(
    {
        "_sysctl": 156,
        "afs_syscall": 183,
        "create_module": 174,
        "get_kernel_syms": 177,
        "getpmsg": 181,
        "ioperm": 173,
        "iopl": 172,
        "putpmsg": 182,
        "query_module": 178,
        "security": 185,
        "sysfs": 139,
        "tuxcall": 184,
        "uselib": 134,
        "ustat": 136,
        "vserver": 236,
    }
)


@dataclass(frozen=True)
class Machine:
    """What differs between processors."""

    arch: int
    """AUDIT_ARCH_* of linux/audit.h."""
    refused: Mapping[str, int]
    """Calls that answer EPERM whatever their arguments."""
    clone: int
    clone3: int
    ioctl: int
    personality: int
    socket: int
    x32: bool = False


MACHINES: Mapping[str, Machine] = MappingProxyType(
    {
        "x86_64": Machine(
            arch=0xC000003E,
            refused=MappingProxyType({**_COMMON, **{name: own[0] for name, own in _OWN.items()}, **_X86_ONLY}),
            clone=56,
            clone3=435,
            ioctl=16,
            personality=135,
            socket=41,
            x32=True,
        ),
        "aarch64": Machine(
            arch=0xC00000B7,
            refused=MappingProxyType({**_COMMON, **{name: own[1] for name, own in _OWN.items()}}),
            clone=220,
            clone3=435,
            ioctl=29,
            personality=92,
            socket=198,
        ),
    }
)
"""By `platform.machine()`."""

NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
TERMINAL = (0x5412, 0x541C)
"""TIOCSTI types into a terminal and TIOCLINUX pastes into one."""
FAMILIES = (38, 40)
"""AF_ALG, the kernel's own cryptography, and AF_VSOCK, a way out of a virtual machine that no namespace closes."""
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32-bit Linux, each with the real kernel's version hidden, and the question which one it is."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant: struct sock_filter."""


def program(machine: Machine) -> bytes:
    """The filter, native byte order."""
    return b"".join(struct.pack("=HBBI", *each) for each in _instructions(machine))


def _instructions(machine: Machine) -> Iterator[Instruction]:
    yield _LOAD, 0, 0, _ARCH
    yield _EQUAL, 1, 0, machine.arch
    yield _RETURN, 0, 0, KILL  # another processor's calls have other numbers
    yield _LOAD, 0, 0, _NUMBER
    if machine.x32:
        yield from _returns(_LARGER, _X32 - 1, UNKNOWN)
    yield from _returns(_LARGER, LAST, UNKNOWN)
    # Its flags lie in memory, where no filter can look; programs then use clone.
    yield from _returns(_EQUAL, machine.clone3, UNKNOWN)
    for number in sorted(machine.refused.values()):
        yield from _returns(_EQUAL, number, REFUSED)
    # The kernel itself looks at the lower half of these arguments only, and so must the filter.
    yield from _argument(machine.clone, 0, ((_AND, 0, 0, NAMESPACES), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, REFUSED)))
    yield from _argument(machine.ioctl, 1, _none_of(TERMINAL))
    yield from _argument(machine.socket, 0, _none_of(FAMILIES))
    yield from _argument(machine.personality, 0, _one_of(PERSONALITIES))
    yield _RETURN, 0, 0, ALLOW


def _returns(jump: int, value: int, verdict: int) -> Iterator[Instruction]:
    yield jump, 0, 1, value
    yield _RETURN, 0, 0, verdict


def _argument(number: int, index: int, rules: tuple[Instruction, ...]) -> Iterator[Instruction]:
    """Rules that look at one argument of one call; what they let through is allowed."""
    yield _EQUAL, 0, len(rules) + 2, number
    yield _LOAD, 0, 0, 16 + 8 * index  # little-endian: the lower half comes first
    yield from rules
    yield _RETURN, 0, 0, ALLOW


def _none_of(values: tuple[int, ...]) -> tuple[Instruction, ...]:
    return tuple(each for value in values for each in _returns(_EQUAL, value, REFUSED))


def _one_of(values: tuple[int, ...]) -> tuple[Instruction, ...]:
    allowed = tuple(each for value in values for each in _returns(_EQUAL, value, ALLOW))
    return (*allowed, (_RETURN, 0, 0, REFUSED))
