"""A name that somebody gave -> what it can be: a commit, a branch, a check run of ours."""

from __future__ import annotations

import re

SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|\.lock(/|$)|^[/-]|[./]$|^@?$")
"""What git-check-ref-format forbids, and a leading dash; no such name can be a branch."""
OWN_CHECK = re.compile(r"check-[0-9a-f]{16}")
"""External id of our check runs: `check-` and the run. Other Apps number theirs as they like."""
