"""The Runner of every recipe."""

from __future__ import annotations

import ctypes

import torch
from mmengine.runner import Runner

from fusionkd.engine.checkpoint import trusted_globals
from fusionkd.registry import RUNNERS

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of mallopt, in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed instead of giving it back to the system.

    Every step of a training on a CPU frees tensors of many megabytes and asks for them again; finding and clearing pages
    for them takes a good part of a step.

    Returns:
        Whether it could be asked for: only glibc has the switch.
    """
    try:
        mallopt = ctypes.CDLL('libc.so.6').mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))


@RUNNERS.register_module()
class FusionRunner(Runner):
    """mmengine's Runner, able to read its own checkpoints with ``torch.load``'s safe default; fast on a CPU."""

    def __init__(self, *args, **kwargs):
        if not torch.cuda.is_available():
            keep_freed_memory()
        super().__init__(*args, **kwargs)

    def load_checkpoint(self, *args, **kwargs) -> dict:
        """As in the base class, with mmengine's log buffers allow-listed."""
        with trusted_globals():
            return super().load_checkpoint(*args, **kwargs)
