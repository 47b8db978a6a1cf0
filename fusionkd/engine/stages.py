"""Stretches of a training with terms of their own, such as warm-up, distillation and refinement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkd.models.distillers import FusionDistiller

HARD = ('strength', 'op', 'share')


@dataclass(frozen=True)
class Stage:
    """One stretch of a training.

    Attributes:
        name: in logs and observations.
        until: share of the training at which it ends, in (0, 1]. Default 1.
        weights: of terms, by name, while it lasts; other terms keep what the recipe or an agent says.
        hard: ``strength`` and ``share`` in [0, 1] and ``op`` of the hard samples, or some of them, while it lasts.
    """

    name: str
    until: float = 1.0
    weights: Mapping[str, float] = field(default_factory=dict)
    hard: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self):
        unknown = sorted(set(self.hard) - set(HARD))
        if unknown:
            raise ValueError(f'stage {self.name!r}: hard sets {unknown}; known: {", ".join(HARD)}')
        negative = {name: weight for name, weight in self.weights.items() if weight < 0}
        if negative:
            raise ValueError(f'stage {self.name!r}: weights must not be negative, got {negative}')

    @property
    def fixed(self) -> tuple[str, ...]:
        """Controls that no agent may set while it lasts."""
        return (*self.weights, *(f'hard_{name}' for name in self.hard))


class StagePlan:
    """The stages of a training in order, and which one it is in.

    Args:
        stages: configs of :class:`Stage`; the last one ends with the training.
        min_length: share of the training that a stage lasts at least when an agent ends it, in [0, 1). Default 0.05.

    Attributes:
        index: of the stage in force.
        names: of all stages.

    Raises:
        ValueError: no stages, two of one name, or ends that do not rise to 1.
    """

    def __init__(self, stages: Sequence[Mapping], min_length: float = 0.05):
        self.stages = [Stage(**stage) for stage in stages]
        self.names = tuple(stage.name for stage in self.stages)
        ends = [stage.until for stage in self.stages]
        if not ends or len(set(self.names)) < len(self.names):
            raise ValueError(f'stages need different names, at least one, got {list(self.names)}')
        if any(a >= b for a, b in zip([0.0, *ends], ends, strict=False)) or ends[-1] != 1:
            raise ValueError(f'until must rise from stage to stage and be 1 for the last one, got {ends}')
        if not 0 <= min_length < 1:
            raise ValueError(f'min_length must be in [0, 1), got {min_length}')
        self.min_length = min_length
        self.index = 0
        self.began = 0.0
        self.wanted = False

    @property
    def stage(self) -> Stage:
        """The one in force."""
        return self.stages[self.index]

    @property
    def name(self) -> str:
        """Of the stage in force."""
        return self.stage.name

    @property
    def fixed(self) -> tuple[str, ...]:
        """Controls that no agent may set now."""
        return self.stage.fixed

    def progress(self, share: float) -> float:
        """Part of the stage in force that is over, in [0, 1], at a share of the training."""
        length = self.stage.until - self.began
        return min(max((share - self.began) / length, 0.0), 1.0) if length > 0 else 1.0

    def setup(self, model: FusionDistiller) -> None:
        """Remember what the recipe says and put the first stage in force.

        Raises:
            ValueError: a stage names a term, an operation or hard samples that the model does not have, or leaves nothing to
                train.
        """
        self.model = model
        self.weights = {name: term.weight for name, term in model.terms.items()}
        hard = model.hard_samples
        self.hard = (
            dict(strength=(hard.low, hard.high), op=hard.op, share=model.hard_view.share) if hard is not None else {}
        )
        for stage in self.stages:
            unknown = [name for name in stage.weights if name not in model.terms]
            if unknown:
                raise ValueError(
                    f'stage {stage.name!r} weighs {unknown}; the terms of the model are: {", ".join(model.terms)}'
                )
            if stage.hard and hard is None:
                raise ValueError(f'stage {stage.name!r} sets hard samples, but the distiller has none')
            ops = [*hard.ops, 'mixed'] if hard is not None else []
            if stage.hard.get('op', 'mixed') not in ops and stage.hard:
                raise ValueError(f'stage {stage.name!r}: op={stage.hard["op"]!r}; known: {", ".join(ops)}')
            if not any(weight > 0 for weight in (self.weights | dict(stage.weights)).values()):
                raise ValueError(f'stage {stage.name!r} gives every term the weight 0: there is nothing to train')
        self._enter()

    def request_end(self, wanted: str) -> None:
        """Note an agent's wish, ``'end'`` or ``'go_on'``; it counts once the stage is long enough, and never in the last."""
        self.wanted = wanted == 'end'

    def update(self, share: float) -> bool:
        """Go to the next stage if it is time.

        Args:
            share: of the training that is over, in [0, 1].

        Returns:
            Whether another stage began.
        """
        last = self.index == len(self.stages) - 1
        asked = self.wanted and share - self.began >= self.min_length
        if last or not (asked or share >= self.stage.until):
            return False
        self.index += 1
        self.began, self.wanted = share, False
        self._enter()
        return True

    def state_dict(self) -> dict:
        """Which stage, since when, and what was wished."""
        return dict(index=self.index, began=self.began, wanted=self.wanted, hard=dict(self.hard))

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict` after :meth:`setup`."""
        self.index, self.began, self.wanted = state['index'], state['began'], state['wanted']
        self.hard = dict(state['hard'])  # the checkpoint's generator has what the stage or an agent set
        self._enter()

    def _enter(self) -> None:
        """Weights and hard samples of the stage in force, elsewhere those of the recipe."""
        for name, weight in (self.weights | dict(self.stage.weights)).items():
            self.model.terms[name].weight = float(weight)
        if self.model.hard_samples is not None:
            hard = self.hard | dict(self.stage.hard)
            if isinstance(hard['strength'], int | float):
                self.model.hard_samples.set_strength(hard['strength'])
            else:
                self.model.hard_samples.low, self.model.hard_samples.high = hard['strength']
            self.model.hard_samples.set_op(hard['op'])
            self.model.hard_view.share = hard['share']
