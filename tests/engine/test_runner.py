"""What the Runner does for trainings on a CPU."""

import ctypes
import subprocess
import sys

import pytest

from fusionkd.engine.runner import keep_freed_memory

FAULTS = """
import resource, sys, torch
from fusionkd.engine.runner import keep_freed_memory
if sys.argv[1] == 'keep' and not keep_freed_memory():
    sys.exit('no glibc')
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for i in range(25):
    if i == 5:
        before = faults()
    torch.empty(64 * 2**18).fill_(i)  # 64 MiB, 16,384 pages
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='mallopt is a switch of glibc')
def test_freed_memory_is_used_again():
    counts = {}
    for how in ('keep', 'give back'):
        done = subprocess.run([sys.executable, '-c', FAULTS, how], capture_output=True, text=True, check=False)
        if 'no glibc' in done.stderr:
            pytest.skip('no glibc')
        counts[how] = int(done.stdout)
    assert counts['keep'] < counts['give back'] / 4


def test_without_glibc_nothing_is_done(monkeypatch):
    def missing(name):
        raise OSError(f'{name}: no such file')

    monkeypatch.setattr(ctypes, 'CDLL', missing)
    assert not keep_freed_memory()
