"""Searches the hard samples that the student currently finds hardest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from fusionkd.registry import HARD_SAMPLES

from .families import SEEN
from .generator import MIXED, HardSampleGenerator

Hardness = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
SPREAD, LEAST_SPREAD = 0.3, 0.05  # of the strengths of one operation, in units of the allowed range


@HARD_SAMPLES.register_module()
class AdversarialHardSampleGenerator(HardSampleGenerator):
    """Cross-entropy search over operations and their strengths; not from the paper.

    Kept from batch to batch: the share of each operation and mean and spread of its strength. Every ``every``-th batch is
    searched: in each of ``rounds``, ``budget / rounds`` candidates are drawn for every sample, from the second round on
    half of them near the sample's hardest so far; the student rates them, and what was hardest for its sample pulls the
    distribution. Samples compete with their own candidates only, so a scene that is hard by itself has no more say than
    another. A searched batch returns the hardest candidate of each sample, the batches in between draw from the
    distribution.

    Cost: ``budget / every`` forward passes of the student per iteration, without gradients, and as many degradations; with
    the defaults 0.3, about a tenth of a training step.

    The hardest is not the most useful: without a bound the search ends at samples from which nothing can be recovered.
    Bound ``strength`` and leave out operations that destroy, and keep ``explore`` above 0.

    Args:
        ops, compose, weights, seed: as for :class:`HardSampleGenerator`; the weights are where the search starts.
        strength: the bounds ``(low, high)`` in [0, 1]; ``'agent'`` lets the agent set the upper one, initially 0.5.
        budget: forward passes of the student on the batch per search. Default 6.
        every: batches from one search to the next; 1 searches always. Default 20.
        rounds: of a search. Default 2.
        rate: in (0, 1], how far one round pulls the distribution. Default 0.3.
        explore: in [0, 1], share of draws that ignore the distribution. Default 0.2.

    Raises:
        ValueError: as for :class:`HardSampleGenerator`; a budget below two candidates per round; a number out of range.
    """

    def __init__(
        self,
        ops: Sequence[str] = SEEN,
        strength: tuple[float, float] | str = (0.0, 1.0),
        compose: int = 1,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
        budget: int = 6,
        every: int = 20,
        rounds: int = 2,
        rate: float = 0.3,
        explore: float = 0.2,
    ):
        super().__init__(ops, strength, compose, weights, seed)
        if rounds < 1 or budget < 2 * rounds:
            raise ValueError(f'a search needs 2 candidates in each of its rounds, got budget {budget}, rounds {rounds}')
        if every < 1 or not 0 < rate <= 1 or not 0 <= explore <= 1:
            raise ValueError(
                f'every >= 1, rate in (0, 1] and explore in [0, 1] expected, got {every}, {rate} and {explore}'
            )
        if self.by_agent:
            self.low = 0.0
        self.budget, self.every, self.rounds, self.rate, self.explore = budget, every, rounds, rate, explore
        self.batches = 0
        self.share = self.weights / self.weights.sum()
        self.mean = torch.full_like(self.share, 0.5)
        self.spread = torch.full_like(self.share, SPREAD)

    @torch.no_grad()
    def search(self, ir: Tensor, vis: Tensor, hardness: Hardness) -> tuple[Tensor, Tensor]:
        """Hard version of a batch, searched if its turn has come.

        Args:
            ir: ``(N, 1, H, W)`` in [0, 1].
            vis: luma, of the same shape.
            hardness: ``(ir, vis, hard_ir, hard_vis) -> (N,)``, higher is harder, such as the student's loss on the hard
                pair against the clean sources. It is called without gradients and must leave the student as it was.

        Returns:
            Two tensors like ``ir`` and ``vis``.

        Raises:
            ValueError: ``hardness`` does not return one number per sample.
        """
        self.batches += 1
        if (self.batches - 1) % self.every:
            return self(ir, vis)
        hard = ir.clone(), vis.clone()
        hardest = torch.full((len(ir),), -torch.inf)
        best = self._plan(len(ir))
        for index in range(self.rounds):
            count = self.budget // self.rounds + (index < self.budget % self.rounds)
            plans, values = [], []
            for _ in range(count):
                plan = self._plan(len(ir)) if index == 0 else self._vary(*best)
                pair = self._degrade(ir, vis, *plan)
                value = hardness(ir, vis, *pair)
                if value.shape != (len(ir),):
                    raise ValueError(f'hardness must return shape ({len(ir)},), got {tuple(value.shape)}')
                value = value.detach().float().cpu()
                harder = value > hardest
                hardest = torch.where(harder, value, hardest)
                best = tuple(torch.where(harder[:, None], new, old) for new, old in zip(plan, best, strict=True))
                at = harder.to(ir.device).view(-1, 1, 1, 1)
                hard = tuple(torch.where(at, new, old) for new, old in zip(pair, hard, strict=True))
                plans.append(plan)
                values.append(value)
            winners = torch.stack(values).argmax(0), torch.arange(len(ir))
            self._learn(*(torch.stack(part)[winners] for part in zip(*plans, strict=True)))
        return hard

    def found(self) -> dict[str, tuple[float, float]]:
        """Share of each operation and the mean strength at which it is applied."""
        strengths = self.low + (self.high - self.low) * self.mean
        return dict(zip(self.ops, zip(self.share.tolist(), strengths.tolist(), strict=True), strict=True))

    def set_strength(self, strength: float) -> None:
        """Use strengths up to this one, clipped to [0, 1], from now on."""
        self.high = min(max(float(strength), 0.0), 1.0)
        self.low = min(self.low, self.high)

    def get_extra_state(self) -> dict:
        """State of the generator and what the search has found."""
        found = dict(batches=self.batches, share=self.share, mean=self.mean, spread=self.spread)
        return super().get_extra_state() | {k: v.clone() if isinstance(v, Tensor) else v for k, v in found.items()}

    def set_extra_state(self, state: dict) -> None:
        """Go on where the checkpoint stopped."""
        super().set_extra_state(state)
        self.batches = int(state['batches'])
        self.share, self.mean, self.spread = (state[name].cpu().clone() for name in ('share', 'mean', 'spread'))

    def _learn(self, choice: Tensor, strength: Tensor) -> None:
        """Pull the distribution towards these operations and strengths, ``(N, compose)``."""
        used = choice >= 0
        place, size = choice[used], len(self.share)
        count = torch.bincount(place, minlength=size)
        if self.op == MIXED:
            self.share += self.rate * (count / count.sum() - self.share)
        if self.high > self.low:
            unit = ((strength[used] - self.low) / (self.high - self.low)).clamp(0, 1)
            step = self.rate * (count > 0) / count.clamp_min(1)
            away = torch.bincount(place, (unit - self.mean[place]).square(), size)
            shift = torch.bincount(place, unit - self.mean[place], size)
            variance = self.spread.square()
            variance = variance + step * (away - count * variance)
            self.mean = self.mean + step * shift
            self.spread = variance.sqrt().clamp_min(LEAST_SPREAD)

    def _coins(self, n: int, share: float) -> Tensor:
        return torch.rand(n, 1, generator=self.generator) < share

    def _draw_ops(self, n: int) -> Tensor:
        share = self.share.clamp_min(1e-4) * (self.weights > 0)
        return torch.multinomial(
            torch.where(self._coins(n, self.explore), self.weights, share), self.compose, generator=self.generator
        )

    def _draw_strengths(self, choice: Tensor) -> Tensor:
        place = choice.clamp_min(0)
        draw = self.mean[place] + self.spread[place] * torch.randn(choice.shape, generator=self.generator)
        anywhere = torch.rand(choice.shape, generator=self.generator)
        unit = torch.where(self._coins(len(choice), self.explore), anywhere, draw.clamp(0, 1))
        return self.low + (self.high - self.low) * unit

    def _vary(self, choice: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """Half of the samples: their hardest operations at nearby strengths; the others: new draws."""
        other, drawn = self._plan(len(choice))
        step = SPREAD / 2 * (self.high - self.low) * torch.randn(choice.shape, generator=self.generator)
        near = self._coins(len(choice), 0.5)
        return torch.where(near, choice, other), torch.where(near, (strength + step).clamp(self.low, self.high), drawn)
