"""Processes and what can be read from them, however many files are open."""

from __future__ import annotations

import os
import resource

from bot.sandbox.processes import readable


def test_a_file_beyond_the_1024th_can_be_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    reading, writing = os.pipe()
    high = os.dup2(reading, 1500)
    try:
        assert not readable(high, 0)
        os.write(writing, b"x")
        assert readable(high, 5)
    finally:
        for file in (reading, writing, high):
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
