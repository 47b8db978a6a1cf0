"""Networks that are used but never trained, saved or switched to training mode."""

from collections.abc import Callable

from torch import nn


class WithFrozen(nn.Module):
    """Module that carries frozen networks outside of its parameters.

    They follow ``.to()``, but are not submodules: optimisers, checkpoints and ``train()`` never see them, so a teacher's
    dropout stays off and a checkpoint holds the student alone.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.frozen: dict[str, nn.Module] = {}

    def freeze(self, name: str, module: nn.Module) -> nn.Module:
        """Switch ``module`` to evaluation, cut its gradients and keep it under ``name``."""
        self.frozen[name] = module.eval().requires_grad_(False)
        return module

    def _apply(self, fn: Callable, *args, **kwargs) -> 'WithFrozen':
        super()._apply(fn, *args, **kwargs)
        for module in self.frozen.values():
            module._apply(fn, *args, **kwargs)
        return self
