"""The filter of system calls: what its program decides, by an interpreter of our own, for any call on any machine."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.sandbox.bubblewrap.seccomp import (
    ALLOW,
    ERRNO,
    FAMILIES,
    KILL,
    LAST,
    MACHINES,
    NAMESPACES,
    PERSONALITIES,
    TERMINAL,
    Machine,
    program,
)

ENOSYS, EPERM = ERRNO | errno.ENOSYS, ERRNO | errno.EPERM
X32 = 0x40000000
machines = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def decide(code: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Run a classic BPF program on one call, as the kernel's Documentation/networking/filter.rst has it."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<II Q 6Q", number, arch, 0, *(word & 0xFFFFFFFFFFFFFFFF for word in words))
    instructions = list(struct.iter_unpack("=HBBI", code))
    accumulator = at = 0
    for _ in range(len(instructions)):
        operation, then, otherwise, constant = instructions[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x15:
            at += then if accumulator == constant else otherwise
        elif operation == 0x25:
            at += then if accumulator > constant else otherwise
        elif operation == 0x54:
            accumulator &= constant
        elif operation == 0x06:
            return int(constant)
        else:
            raise AssertionError(f"unknown instruction {operation:#x}")
    raise AssertionError("a program that does not end")


def expected(machine: Machine, number: int, arguments: Sequence[int]) -> int:
    """The table, in words."""
    first, second = arguments[0] & 0xFFFFFFFF, arguments[1] & 0xFFFFFFFF
    if number > LAST or number == machine.clone3:
        return ENOSYS
    refused = (
        number in machine.refused.values()
        or (number == machine.clone and first & NAMESPACES)
        or (number == machine.ioctl and second in TERMINAL)
        or (number == machine.socket and first in FAMILIES)
        or (number == machine.personality and first not in PERSONALITIES)
    )
    return EPERM if refused else ALLOW


numbers = st.one_of(st.integers(0, LAST + 20), st.integers(0, 0xFFFFFFFF))
values = st.one_of(
    st.sampled_from((*FAMILIES, *TERMINAL, *PERSONALITIES, 0x10000000, 0x20000, 17, 1 << 32 | 0x5412)),
    st.integers(0, 0xFFFFFFFFFFFFFFFF),
)


@machines
@given(number=numbers, arguments=st.lists(values, min_size=2, max_size=6))
@example(number=X32 | 165, arguments=[0, 0])
@example(number=0xFFFFFFFF, arguments=[0, 0])
def test_any_call_is_judged_as_the_table_says(machine: Machine, number: int, arguments: list[int]) -> None:
    assert decide(program(machine), machine.arch, number, arguments) == expected(machine, number, arguments)


@machines
@given(number=st.integers(0, LAST), first=values, second=values)
def test_calls_with_rules_of_their_own(machine: Machine, number: int, first: int, second: int) -> None:
    special = (machine.clone, machine.ioctl, machine.socket, machine.personality)
    number = special[number % len(special)]
    assert decide(program(machine), machine.arch, number, (first, second)) == expected(machine, number, (first, second))


@machines
@given(arch=st.integers(0, 0xFFFFFFFF), number=numbers)
def test_another_processors_calls_end_the_process(machine: Machine, arch: int, number: int) -> None:
    if arch != machine.arch:
        assert decide(program(machine), arch, number) == KILL


@machines
def test_what_must_never_be_let_through(machine: Machine) -> None:
    """By name, so that a number that was mistyped once is seen."""
    names = "mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount mount_setattr unshare setns chroot"
    names += " bpf perf_event_open userfaultfd io_uring_setup keyctl add_key request_key kexec_load init_module"
    names += (
        " finit_module delete_module open_by_handle_at reboot swapon acct settimeofday clock_settime syslog quotactl"
    )
    code = program(machine)
    for name in names.split():
        assert decide(code, machine.arch, machine.refused[name]) == EPERM, name
    assert decide(code, machine.arch, machine.clone, (0x10000000 | 17,)) == EPERM, "a user namespace"
    assert decide(code, machine.arch, machine.clone, (1 << 32 | 0x10000000,)) == EPERM, (
        "the kernel drops the upper half"
    )
    assert decide(code, machine.arch, machine.clone, (0x003D0F00,)) == ALLOW, "a thread"
    assert decide(code, machine.arch, machine.ioctl, (0, 0xFFFFFFFF00005412)) == EPERM, "typing into a terminal"
    assert decide(code, machine.arch, machine.socket, (1,)) == ALLOW, "a unix socket"


def test_numbers_of_this_machines_kernel() -> None:
    """The table against the numbers that the C library was made with, where its headers are."""
    headers = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not headers.is_file():
        pytest.skip("no headers of the kernel here")
    real = dict(line.split()[1:3] for line in headers.read_text().splitlines() if line.startswith("#define __NR_"))
    table = MACHINES["x86_64"]
    named = {**table.refused, "clone": table.clone, "clone3": table.clone3, "ioctl": table.ioctl}
    named |= {"personality": table.personality, "socket": table.socket}
    assert {name: int(real[f"__NR_{name}"]) for name in named} == named


def test_numbers_of_arm() -> None:
    """Likewise, from the generic table that arm64 uses."""
    headers = Path("/usr/include/asm-generic/unistd.h")
    if not headers.is_file():
        pytest.skip("no headers of the kernel here")
    real = dict(line.split()[1:3] for line in headers.read_text().splitlines() if line.startswith("#define __NR"))
    table = MACHINES["aarch64"]
    named = {**table.refused, "clone": table.clone, "clone3": table.clone3, "ioctl": table.ioctl}
    named |= {"personality": table.personality, "socket": table.socket}
    assert {name: int(real[f"__NR_{name}"]) for name in named} == named
