"""Memory that a process keeps."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit


def test_a_process_that_keeps_freed_memory_does_not_fault_in_the_same_pages_again():
    program = """
import resource, sys
from arnold.policy.host_memory import keep_freed_memory
if not keep_freed_memory():
    sys.exit(7)
bytes(bytearray(b"1") * 50_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytes(bytearray(b"1") * 50_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 7:
        pytest.skip("the C library is not glibc")
    assert int(done.stdout) < 1000, done.stderr  # 100 MB are 24,000 pages
