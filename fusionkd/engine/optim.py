"""Mixed precision without a loss scale, and several optimisers."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from torch import nn

from fusionkd.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


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


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartsOptimConstructor:
    """One optimiser for each named part of a model, such as a student and its discriminator.

    Args:
        optim_wrapper_cfg: config of an optimiser wrapper by the name of the part, an attribute of the model; a part that the
            model has as ``None`` gets none. A ``type`` beside them is that of all wrappers.
        paramwise_cfg: not used; give it to the parts.

    Raises:
        AttributeError: the model has no such part.

    Example of a recipe::

        optim_wrapper = dict(
            constructor='PartsOptimConstructor',
            student=dict(optimizer=dict(type='AdamW', lr=1e-6)),
            discriminator=dict(optimizer=dict(type='AdamW', lr=1e-6)),
        )
    """

    def __init__(self, optim_wrapper_cfg: Mapping, paramwise_cfg: dict | None = None):
        self.parts = dict(optim_wrapper_cfg)
        self.kind = self.parts.pop('type', None)

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the optimisers of a model."""
        model = model.module if is_model_wrapper(model) else model
        wrappers = {}
        for name, cfg in self.parts.items():
            if not hasattr(model, name):
                raise AttributeError(
                    f'optim_wrapper names the part {name!r}, which {type(model).__name__} does not have'
                )
            part = getattr(model, name)
            if part is not None:
                kind = self.kind or cfg.get('type', 'OptimWrapper')
                wrappers[name] = build_optim_wrapper(part, {**copy.deepcopy(cfg), 'type': kind})
        return OptimWrapperDict(**wrappers)
