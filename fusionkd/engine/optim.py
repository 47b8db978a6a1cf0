"""Mixed precision without a loss scale."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from fusionkd.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Runs networks in bfloat16 autocast, on GPUs and on CPUs with AMX or AVX-512 BF16.

    bfloat16 has the range of float32, so no gradient scaler is needed. Losses stay in float32
    (:class:`FusionDistiller` sees to that).
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield
