"""Decisions about single samples. Not from the paper, whose agent decides for the whole student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dist import get_world_size
from torch import Tensor

from fusionkd.registry import AGENTS

from .actions import ActionSpace
from .observations import SAMPLE_FEATURES, pair_features
from .scheduler import bounded

if TYPE_CHECKING:
    from fusionkd.models.distillers import FusionDistiller


class SampleScheduler:
    """Lets a second agent set ``sample_controls()`` for every sample of every batch.

    It sees :data:`SAMPLE_FEATURES` of each pair. It is paid for learning progress (Oudeyer et al., 2007; the form is
    ours): when a sample comes back, the drop of the student's loss on it since the last visit, minus the running mean drop.
    The loss is that of the clean pair, for a loss on the hard one falls when the agent makes the sample easier. Crops differ
    from visit to visit, which is noise the agent has to average out.

    Args:
        agent: config of an agent.
        actions: by control, as in :class:`AgentHook`. Default all sample controls.
        terms: on the clean view, whose per-sample losses count, summed. Default those whose loss has ``per_sample`` and that
            look at no teacher; a distance to a teacher has to be named.
        momentum: of the running mean drop. Default 0.99.

    Attributes:
        journal: a list receives ``(observations, tickets, rewards)`` instead of the agent, which then learns nothing.
            Default ``None``.
    """

    def __init__(
        self,
        agent: dict,
        actions: Mapping[str, Sequence[float] | None] | None = None,
        terms: Sequence[str] | None = None,
        momentum: float = 0.99,
    ):
        if not 0 <= momentum < 1:
            raise ValueError(f'momentum must be in [0, 1), got {momentum}')
        self.agent = AGENTS.build(agent)
        self.actions = actions
        self.terms = list(terms) if terms is not None else None
        self.momentum = momentum
        self.journal: list[tuple] | None = None
        self.visits: dict[str, dict] = {}
        self.mean_drop = 0.0
        self._batch: tuple | None = None
        self._reset_summary()

    def setup(self, model: FusionDistiller) -> None:
        """Size the agent.

        Raises:
            ValueError: nothing can be set per sample, no loss can be told apart by sample, a name that does not exist, or a
                training of several processes.
        """
        if get_world_size() > 1:
            raise ValueError('sample_agent works in one process: every process sees other samples')
        self.model = model
        offered = model.sample_controls()
        wanted = self.actions if self.actions is not None else dict.fromkeys(offered)
        unknown = [name for name in wanted if name not in offered]
        if unknown or not offered:
            known = ', '.join(offered) or "none; hard_samples with strength='agent' or several teachers give some"
            raise ValueError(f'sample_agent cannot set {unknown or "anything"} per sample; there are: {known}')
        self.space = ActionSpace(bounded(offered, wanted))
        able = [name for name, term in model.terms.items() if term.on == 'clean' and hasattr(term.loss, 'per_sample')]
        self.terms = [name for name in able if not model.terms[name].taught] if self.terms is None else self.terms
        wrong = [name for name in self.terms if name not in able]
        if wrong or not self.terms:
            raise ValueError(
                f'sample_agent is paid by the loss on clean pairs; {wrong or "no term"} cannot tell it for each sample. '
                f"Terms on='clean' whose loss has per_sample: {', '.join(able) or 'none'}; name one that a teacher gives"
            )
        self.agent.setup(len(SAMPLE_FEATURES), self.space, SAMPLE_FEATURES)

    def before_step(self, data: dict, progress: float) -> None:
        """Decide for a batch as the loader gives it; ``progress`` in [0, 1]."""
        inputs = self.model.data_preprocessor(data, False)['inputs']
        names = [sample.name for sample in data['data_samples']]
        observations = self._observe(inputs['ir'], inputs['vis'], names, progress)
        actions, tickets = self.agent.act_many(observations, progress)
        values = self.space.decode(actions)
        self.model.apply_sample_action(values)
        self._batch = names, observations, tickets
        for name, column in values.items():
            for value in column:
                key = f'{name}/{value}' if isinstance(value, str) else name
                self._totals[key] = self._totals.get(key, 0.0) + (1.0 if isinstance(value, str) else value)
        self._count += len(names)

    def after_step(self) -> None:
        """Pay for the last visits of the samples of the batch, and learn."""
        names, observations, tickets = self._batch
        self._batch = None
        paid: list[tuple] = []
        for name, loss, observation, ticket in zip(names, self._losses(), observations, tickets, strict=False):
            last, drop = self.visits.get(name), 0.0
            if last is not None:
                drop = last['loss'] - loss
                paid.append((last['observation'], last['ticket'], drop - self.mean_drop))
                self.mean_drop += (1 - self.momentum) * (drop - self.mean_drop)
            self.visits[name] = dict(loss=loss, drop=drop, observation=observation.tolist(), ticket=ticket)
        if not paid:
            return
        seen, tickets, rewards = zip(*paid, strict=True)
        if self.journal is not None:
            self.journal.append((np.array(seen), list(tickets), np.array(rewards)))
            return
        self.agent.observe_many(tickets, rewards)
        self._learning = self.agent.update() or self._learning

    def summary(self) -> dict[str, float]:
        """Means of numbers, shares of options, and what the agent logged last, since the last call."""
        values = {key: total / self._count for key, total in self._totals.items()} if self._count else {}
        values |= {f'learning/{key}': value for key, value in self._learning.items()}
        self._reset_summary()
        return values

    def state_dict(self) -> dict:
        """Everything a resumed run needs to decide the same."""
        return dict(
            agent=self.agent.state_dict(),
            visits=self.visits,
            mean_drop=self.mean_drop,
            totals=dict(self._totals),
            count=self._count,
            learning=dict(self._learning),
        )

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict` after :meth:`setup`."""
        self.agent.load_state_dict(state['agent'])
        self.visits, self.mean_drop = dict(state['visits']), state['mean_drop']
        self._totals, self._count, self._learning = dict(state['totals']), state['count'], dict(state['learning'])

    def _observe(self, ir: Tensor, vis: Tensor, names: Sequence[str], progress: float) -> np.ndarray:
        rows = []
        for name in names:
            last = self.visits.get(name)
            rows.append((last['loss'], last['drop'], 1.0, progress) if last else (0.0, 0.0, 0.0, progress))
        return np.concatenate([pair_features(ir, vis).cpu().numpy(), np.array(rows)], axis=1)

    def _losses(self) -> list[float]:
        """Of the samples that every term saw, in order; none where a term was off."""
        values = [self.model.sample_values.get(name) for name in self.terms]
        if any(v is None for v in values):
            return []
        count = min(len(v) for v in values)
        return torch.stack([v[:count].double().cpu() for v in values]).sum(0).tolist()

    def _reset_summary(self) -> None:
        self._totals: dict[str, float] = {}
        self._count = 0
        self._learning: dict[str, float] = {}
