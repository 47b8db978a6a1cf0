"""The view ``'hard'``: a batch of which some or all samples are degraded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fusionkd.hard_samples import MIXED
from fusionkd.rl.actions import Control

from .term import Term

STRENGTH, OP, SHARE = 'hard_strength', 'hard_op', 'hard_share'


class HardView:
    """Makes the hard version of a batch.

    Args:
        generator: of hard samples, or ``None``. One with ``search`` looks for what the student finds hardest, measured by
            the first term on ``'hard'`` that needs no teacher and whose loss has ``per_sample``.
        terms: of the distiller.
        share: of the batch that is made hard, in [0, 1]. Default 1.

    Raises:
        ValueError: a share outside [0, 1], or a generator that searches without a term to measure by.
    """

    def __init__(self, generator: nn.Module | None, terms: Iterable[Term], share: float = 1.0):
        if not 0 <= share <= 1:
            raise ValueError(f'hard_share must be in [0, 1], got {share}')
        self.generator = generator
        self.share = self.initial_share = float(share)
        self.initial_strength = float(generator.high) if self.by_agent else None
        self.judge: Term | None = None
        if hasattr(generator, 'search'):
            hard = [term for term in terms if term.on == 'hard']
            able = [term for term in hard if not term.taught and hasattr(term.loss, 'per_sample')]
            if hard and not able:
                raise ValueError(
                    f'{type(generator).__name__} searches by the loss of each sample, which none of the terms on '
                    f"'hard' has: {', '.join(t.name for t in hard)}; add one such as FusionLoss"
                )
            self.judge = able[0] if able else None

    @property
    def by_agent(self) -> bool:
        """Whether the hard samples are left to an agent."""
        return getattr(self.generator, 'by_agent', False)

    def controls(self) -> dict[str, Control]:
        """What an agent may set; nothing unless the generator's strength is ``'agent'``."""
        if not self.by_agent:
            return {}
        options = (*self.generator.ops, MIXED)
        return {
            STRENGTH: Control(self.initial_strength),
            OP: Control(len(options) - 1, options=options),
            SHARE: Control(self.initial_share),
        }

    def set(self, name: str, value: float | str) -> None:
        """Set one control."""
        if name == STRENGTH:
            self.generator.set_strength(value)
        elif name == OP:
            self.generator.set_op(value)
        else:
            self.share = min(max(float(value), 0.0), 1.0)

    def rows(self, n: int) -> list[int]:
        """Which of n samples are hard: ``round(share * n)``, spread evenly."""
        counts = [int(i * self.share + 0.5) for i in range(n + 1)]
        return [i for i in range(n) if counts[i + 1] > counts[i]]

    def __call__(
        self,
        student: nn.Module,
        ir: Tensor,
        vis: Tensor,
        cbcr: Tensor | None = None,
        action: Mapping[str, Sequence] | None = None,
        search: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Hard version of a batch.

        Args:
            student: is asked what is hard, if the generator searches.
            ir: ``(N, 1, H, W)`` in [0, 1].
            vis: same shape and range.
            cbcr: ``(N, 2, H, W)`` or ``None``, for terms in colour.
            action: ``hard_strength`` and ``hard_op`` of each sample, instead of those in force. Nothing is searched then.
            search: whether to search at all. Default True.

        Returns:
            The pair; the very same tensors where no sample is hard.
        """
        rows = self.rows(len(ir))
        if not rows:
            return ir, vis
        whole = len(rows) == len(ir)
        at = slice(None) if whole else torch.tensor(rows, device=ir.device)
        given = {}
        if action and STRENGTH in action:
            given['strength'] = torch.tensor([float(action[STRENGTH][i]) for i in rows])
        if action and OP in action:
            given['op'] = [action[OP][i] for i in rows]
        if search and not given and self.judge is not None:
            hard = self.generator.search(ir[at], vis[at], Hardness(student, self.judge, _rows(cbcr, at)))
        else:
            hard = self.generator(ir[at], vis[at], **given)
        if whole:
            return hard
        pair = ir.clone(), vis.clone()
        for image, part in zip(pair, hard, strict=True):
            image[at] = part
        return pair


class Hardness:
    """Loss of each sample of the student's fusion of a hard pair against the clean sources.

    The student is evaluated without gradients and put back into its mode.
    """

    def __init__(self, student: nn.Module, term: Term, cbcr: Tensor | None):
        self.student = student
        self.term = term
        self.cbcr = cbcr

    @torch.no_grad()
    def __call__(self, ir: Tensor, vis: Tensor, hard_ir: Tensor, hard_vis: Tensor) -> Tensor:
        """``(N,)``, higher is harder."""
        training = self.student.training
        self.student.eval()
        try:
            fused = self.student.fuse(hard_ir, hard_vis)
        finally:
            self.student.train(training)
        with torch.autocast(ir.device.type, enabled=False):
            values = self.term.images(fused, ir, vis, self.cbcr)
            if self.term.target is not None:
                values['target'] = values[self.term.target]
            return self.term(values)[1]


def _rows(x: Tensor | None, at: slice | Tensor) -> Tensor | None:
    return None if x is None else x[at]
