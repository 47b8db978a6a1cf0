"""One weighted loss of a distiller, with its wiring checked when it is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fusionkd.ops import merge_ycbcr
from fusionkd.registry import MODELS
from fusionkd.rl.actions import Control

VIEWS = ('clean', 'hard')
SPACES = ('y', 'rgb')
# What a loss can ask for by the names of its forward arguments.
ARGUMENTS = {
    'fused': "the student's fused image",
    'ir': 'the clean infrared image',
    'vis': 'the clean visible image',
    'target': 'what the term names as target',
    'feat_s': "the student's features at tap_s",
    'feat_t': "the teacher's features at tap_t",
}
SOURCE_TARGETS = ('ir', 'vis')


class Term(nn.Module):
    """One weighted loss: ``dict(name, loss, target, weight)`` and a few options.

    Args:
        name: key in logs (``loss_<name>``) and the handle of an agent.
        loss: config of a loss. The names of its ``forward`` arguments decide what it is given, see ``ARGUMENTS``.
        target: what ``target`` or ``feat_t`` is taken from: ``'teacher'`` (every teacher, losses averaged),
            ``'teacher:NAME'``, ``'ir'`` or ``'vis'``. Default ``'teacher'`` for losses that ask for one.
        weight: a number >= 0, or ``'agent'``: initially 1 and then set by the agent. Default 1. A term of weight 0 is
            not computed.
        on: view of the student's output: ``'clean'`` (default) or ``'hard'``, the output for the degraded pair.
        space: ``'y'`` (default) compares luma, ``'rgb'`` colour images with the visible image's chroma put back.
        parts: weights within the loss that an agent sets, from the loss's ``weights``, such as ``('vif', 'scd')`` of a
            :class:`QualityLoss`; as controls they are ``<name>_<part>``. Default none.
        share: part of each batch that the term sees, in (0, 1]; a costly teacher or loss can look at fewer samples. The
            student fuses as much of a view as the term that sees most of it. Default 1.
        tap_s: path of the student's module whose output is ``feat_s``, such as ``'backbone.down.2'``.
        tap_t: the same for the teacher.

    Raises:
        ValueError: an option that does not exist or does not fit the loss; the message lists what exists.
    """

    KNOWN = ARGUMENTS

    def __init__(
        self,
        name: str,
        loss: dict,
        target: str | None = None,
        weight: float | str = 1.0,
        parts: Sequence[str] = (),
        on: str = 'clean',
        space: str = 'y',
        share: float = 1.0,
        tap_s: str | None = None,
        tap_t: str | None = None,
    ):
        super().__init__()
        self.name = name
        self.loss = MODELS.build(loss)
        self.parts = self._initial_weights(parts)
        self.on = on
        self.space = space
        self.share = share
        self.tap_s = tap_s
        self.tap_t = tap_t
        self.by_agent = weight == 'agent'
        self.weight = 1.0 if self.by_agent else weight
        self.arguments = self._loss_arguments()
        self.needs_teacher = bool({'target', 'feat_t'} & set(self.arguments))
        self.target = target if target is not None or not self.needs_teacher else 'teacher'
        self._check()

    def teachers(self, known: Sequence[str]) -> list[str]:
        """Names of the teachers this term learns from, given those there are.

        Raises:
            ValueError: it names one that does not exist, or none exists.
        """
        if not self.taught:
            return []
        if self.target == 'teacher':
            if not known:
                raise self._error(f'target {self.target!r} needs a teacher, but the distiller has none')
            return list(known)
        name = self.target.removeprefix('teacher:')
        if name not in known:
            raise self._error(f'target names the teacher {name!r}; known: {", ".join(known) or "none"}')
        return [name]

    def controls(self) -> dict[str, Control]:
        """What an agent may set, in its initial state: the weight in [0, 2], weights of parts up to twice what they are."""
        controls = {self.name: Control(1.0, 0.0, 2.0)} if self.by_agent else {}
        for part, weight in self.parts.items():
            controls[f'{self.name}_{part}'] = Control(weight, 0.0, 2 * weight or 1.0)
        return controls

    def set_control(self, control: str, value: float) -> None:
        """Set one of :meth:`controls`."""
        if control == self.name:
            self.weight = value
        else:
            self.loss.weights[control.removeprefix(f'{self.name}_')] = value

    @property
    def taught(self) -> bool:
        """Whether it learns from teachers."""
        return self.needs_teacher and self.target not in SOURCE_TARGETS

    def samples(self, batch: int) -> int:
        """How many samples of a batch the term sees: the first ones, at least one."""
        return max(round(self.share * batch), 1)

    def forward(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Unweighted loss of the values it asks for, and that of each sample where the loss is their mean."""
        arguments = {name: values[name] for name in self.arguments}
        if not hasattr(self.loss, 'per_sample'):
            return self.loss(**arguments), None
        each = self.loss.per_sample(**arguments)
        return each.mean(), each

    def image(self, y: Tensor, cbcr: Tensor | None = None, at: slice | Tensor = slice(None)) -> Tensor:
        """What the term compares of a luma image of the rows ``at``: itself, or in the space ``'rgb'`` with its colour.

        Args:
            y: ``(n, 1, H, W)``.
            cbcr: ``(N, 2, H, W)`` or ``None`` for gray batches.
            at: rows of ``cbcr`` that belong to ``y``. Default all.

        Returns:
            ``(n, 1 or 3, H, W)``, float32.
        """
        y = y.float()
        return merge_ycbcr(y, cbcr[at]) if self.space == 'rgb' and cbcr is not None else y

    def images(
        self, fused: Tensor, ir: Tensor, vis: Tensor, cbcr: Tensor | None = None, at: slice | Tensor = slice(None)
    ) -> dict[str, Tensor]:
        """:meth:`image` of what every term can ask for: ``fused``, ``ir`` (always luma) and ``vis``."""
        return dict(fused=self.image(fused, cbcr, at), ir=ir, vis=self.image(vis, cbcr, at))

    def _initial_weights(self, parts: Sequence[str]) -> dict[str, float]:
        weights = getattr(self.loss, 'weights', None)
        known = weights if isinstance(weights, Mapping) else {}
        unknown = [part for part in parts if part not in known]
        if unknown:
            has = ', '.join(known) or 'none'
            raise self._error(f'{type(self.loss).__name__} has no parts {unknown} with a weight; it has: {has}')
        return {part: float(known[part]) for part in parts}

    def _loss_arguments(self) -> list[str]:
        names = list(inspect.signature(self.loss.forward).parameters)
        unknown = [n for n in names if n not in self.KNOWN]
        if unknown:
            known = '; '.join(f'{n}: {text}' for n, text in self.KNOWN.items())
            raise self._error(f'{type(self.loss).__name__}.forward asks for {unknown}; a term can give {known}')
        return names

    def _check(self) -> None:
        if self.on not in VIEWS:
            raise self._error(f'on={self.on!r}; known: {", ".join(VIEWS)}')
        if self.space not in SPACES:
            raise self._error(f'space={self.space!r}; known: {", ".join(SPACES)}')
        if not isinstance(self.weight, int | float) or self.weight < 0:
            raise self._error(f"weight={self.weight!r}; expected a number >= 0 or 'agent'")
        if not 0 < self.share <= 1:
            raise self._error(f'share={self.share!r}; expected a number in (0, 1]')
        if self.needs_teacher:
            known = [*SOURCE_TARGETS, 'teacher']
            if self.target not in known and not self.target.startswith('teacher:'):
                raise self._error(f'target={self.target!r}; known: {", ".join(known)}, teacher:NAME')
            if 'feat_t' in self.arguments and self.target in SOURCE_TARGETS:
                raise self._error(f'features need a teacher, not target={self.target!r}')
        elif self.target is not None:
            raise self._error(f'{type(self.loss).__name__} uses no target, got target={self.target!r}')
        for tap, argument in ((self.tap_s, 'feat_s'), (self.tap_t, 'feat_t')):
            option = argument.replace('feat', 'tap')
            if (argument in self.arguments) != (tap is not None):
                verb = 'needs' if tap is None else 'does not use'
                raise self._error(f'{type(self.loss).__name__} {verb} {option}')

    def _error(self, text: str) -> ValueError:
        return ValueError(f'term {self.name!r}: {text}')
