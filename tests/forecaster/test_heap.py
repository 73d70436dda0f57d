"""Memory that is freed is used again instead of being asked of the system anew."""

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import torch
from forecaster.training.heap import keep_freed
torch.set_num_threads(1)
cell, inputs = torch.nn.LSTM(4, 64, 2, batch_first=True), torch.randn(16, 64, 4)
def faults():
    for step in range(30):
        if step == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        cell(inputs)[0].sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), keep_freed() or faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_a_step_finds_the_pages_of_the_one_before():
    eager = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=eager)
    plain, kept = map(int, found.stdout.split())
    assert kept < plain / 20
