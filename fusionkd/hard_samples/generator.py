"""Draws hard samples from clean pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionkd.registry import HARD_SAMPLES


@HARD_SAMPLES.register_module()
class HardSampleGenerator(nn.Module):
    """Degrade each pair of a batch with one operation drawn from ``ops``.

    It draws from a generator of its own, so that turning hard samples on or off leaves every other random number of a
    run as it was; the generator's state is part of the training checkpoint.

    Args:
        ops: names of registered degradations. Default blur, brightness, contrast and noise.
        strength: in [0, 1]; a pair ``(low, high)`` draws per sample; ``'agent'`` (initially 0.5) leaves it to the agent,
            which acts on the control ``hard_strength``.
        seed: of the generator. Default 0.

    Raises:
        ValueError: an unknown operation (the message lists those there are) or a strength outside [0, 1].
    """

    def __init__(
        self,
        ops: Sequence[str] = ('blur', 'brightness', 'contrast', 'noise'),
        strength: float | tuple[float, float] | str = (0.0, 1.0),
        seed: int = 0,
    ):
        super().__init__()
        HARD_SAMPLES.import_from_location()
        known = {name: op for name, op in HARD_SAMPLES.module_dict.items() if not isinstance(op, type)}
        unknown = [name for name in ops if name not in known]
        if unknown or not ops:
            raise ValueError(f'unknown degradations {unknown}; known: {", ".join(sorted(known))}')
        self.ops = {name: known[name] for name in ops}
        self.by_agent = strength == 'agent'
        if self.by_agent:
            strength = 0.5
        self.low, self.high = (strength, strength) if isinstance(strength, int | float) else strength
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f'strength must be in [0, 1] with low <= high, got {strength}')
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, ir: Tensor, vis: Tensor) -> tuple[Tensor, Tensor]:
        """Hard version of ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1], of the same shape and range."""
        n = ir.shape[0]
        choice = torch.randint(0, len(self.ops), (n,), generator=self.generator)
        draw = torch.rand(n, generator=self.generator)
        strength = (self.low + (self.high - self.low) * draw).to(ir)
        hard_ir, hard_vis = ir.clone(), vis.clone()
        for i, op in enumerate(self.ops.values()):
            rows = (choice == i).nonzero().flatten().to(ir.device)
            if rows.numel():
                hard_ir[rows], hard_vis[rows] = op(ir[rows], vis[rows], strength[rows], self.generator)
        return hard_ir, hard_vis

    def set_strength(self, strength: float) -> None:
        """Use one strength in [0, 1] for every sample from now on."""
        self.low = self.high = min(max(float(strength), 0.0), 1.0)

    def get_extra_state(self) -> Tensor:
        """State of the random generator, for the training checkpoint."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on drawing where the checkpoint stopped."""
        self.generator.set_state(state.cpu())
