"""Draws hard samples from clean pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fusionkd.registry import HARD_SAMPLES

from .families import SEEN, known_degradations

MIXED = 'mixed'


@HARD_SAMPLES.register_module()
class HardSampleGenerator(nn.Module):
    """Degrade each pair of a batch with operations drawn from ``ops``.

    It draws from a generator of its own, so that turning hard samples on or off leaves every other random number of a
    run as it was; the generator's state, and what an agent has set, are part of the training checkpoint.

    Args:
        ops: names of registered degradations. Default ``SEEN``, which leaves the others for tests of robustness.
        strength: in [0, 1]; a pair ``(low, high)`` draws per sample; ``'agent'`` (initially 0.5) leaves it to the agent,
            which acts on the control ``hard_strength``.
        compose: different operations applied to each sample, at the sample's strength, in the order scene, optics, sensor,
            compression. Default 1.
        weights: how often an operation is drawn, relative to 1 for those not named.
        seed: of the generator. Default 0.

    Raises:
        ValueError: an unknown operation (the message lists those there are), a strength outside [0, 1], more operations to
            compose than can be drawn, a weight that is negative or of another operation.
    """

    def __init__(
        self,
        ops: Sequence[str] = SEEN,
        strength: float | tuple[float, float] | str = (0.0, 1.0),
        compose: int = 1,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        known = known_degradations()
        unknown = [name for name in ops if name not in known]
        if unknown or not ops:
            raise ValueError(f'unknown degradations {unknown}; known: {", ".join(sorted(known))}')
        self.ops = {name: op for name, op in known.items() if name in set(ops)}
        self.by_agent = strength == 'agent'
        if self.by_agent:
            strength = 0.5
        self.low, self.high = (strength, strength) if isinstance(strength, int | float) else strength
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f'strength must be in [0, 1] with low <= high, got {strength}')
        weights = dict(weights or {})
        wrong = [name for name, weight in weights.items() if name not in self.ops or not weight >= 0]
        if wrong:
            raise ValueError(f'weights of {wrong}: give numbers >= 0 for some of {", ".join(self.ops)}')
        self.weights = torch.tensor([float(weights.get(name, 1)) for name in self.ops])
        drawable = int((self.weights > 0).sum())
        if not 1 <= compose <= drawable:
            raise ValueError(f'compose must be 1 to {drawable}, the operations with a weight, got {compose}')
        self.compose = compose
        self.op = MIXED
        self.generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def forward(
        self, ir: Tensor, vis: Tensor, strength: Tensor | Sequence[float] | None = None, op: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hard version of a batch.

        Args:
            ir: ``(N, 1, H, W)`` in [0, 1].
            vis: luma, of the same shape.
            strength: ``(N,)``, one per sample, clipped to [0, 1]. Default: drawn as configured.
            op: N names; ``'mixed'`` draws. A named operation is applied alone. Default: what :meth:`set_op` says.

        Returns:
            Two tensors like ``ir`` and ``vis``.

        Raises:
            ValueError: another number of strengths or names, or an operation that is not one of ``ops``.
        """
        choice, drawn = self._plan(len(ir), op)
        if strength is not None:
            given = torch.as_tensor(strength, dtype=drawn.dtype).clamp(0, 1).cpu()
            if given.shape != (len(ir),):
                raise ValueError(f'strength must be of shape ({len(ir)},), got {tuple(given.shape)}')
            drawn = given[:, None].expand_as(choice)
        return self._degrade(ir, vis, choice, drawn)

    def set_strength(self, strength: float) -> None:
        """Use one strength, clipped to [0, 1], for every sample from now on."""
        self.low = self.high = min(max(float(strength), 0.0), 1.0)

    def set_op(self, op: str) -> None:
        """Apply one operation to every sample from now on; ``'mixed'`` draws again.

        Raises:
            ValueError: not one of ``ops``.
        """
        self._check_ops([op])
        self.op = op

    def get_extra_state(self) -> dict:
        """State of the random generator and what was set, for the training checkpoint."""
        return dict(generator=self.generator.get_state(), low=self.low, high=self.high, op=self.op)

    def set_extra_state(self, state: dict) -> None:
        """Go on where the checkpoint stopped."""
        self.generator.set_state(state['generator'].cpu())
        self.low, self.high = float(state['low']), float(state['high'])
        self.set_op(state['op'])

    def _plan(self, n: int, names: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
        """Operations of n samples, as indices, -1 for none, and their strengths; both ``(n, compose)`` on the CPU."""
        choice = self._draw_ops(n)
        names = [self.op] * n if names is None else list(names)
        if len(names) != n:
            raise ValueError(f'{n} samples need as many operations, got {len(names)}')
        self._check_ops(names)
        index = {name: i for i, name in enumerate(self.ops)}
        for row, name in enumerate(names):
            if name != MIXED:
                choice[row] = -1
                choice[row, 0] = index[name]
        return choice, self._draw_strengths(choice)

    def _draw_ops(self, n: int) -> Tensor:
        return torch.multinomial(self.weights.expand(n, -1), self.compose, generator=self.generator)

    def _draw_strengths(self, choice: Tensor) -> Tensor:
        draw = torch.rand(len(choice), 1, generator=self.generator)
        return (self.low + (self.high - self.low) * draw).expand_as(choice)

    def _degrade(self, ir: Tensor, vis: Tensor, choice: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """Degrade each sample with its operations, ``(N, compose)`` indices, at their strengths."""
        hard_ir, hard_vis = ir.clone(), vis.clone()
        for i, op in enumerate(self.ops.values()):
            rows, columns = (choice == i).nonzero(as_tuple=True)
            if len(rows):
                at = rows.to(ir.device)
                hard_ir[at], hard_vis[at] = op(
                    hard_ir[at], hard_vis[at], strength[rows, columns].to(ir), self.generator
                )
        return hard_ir, hard_vis

    def _check_ops(self, names: Sequence[str]) -> None:
        unknown = sorted({name for name in names if name != MIXED and name not in self.ops})
        if unknown:
            raise ValueError(f'unknown operations {unknown}; of this generator: {", ".join(self.ops)}, {MIXED}')
