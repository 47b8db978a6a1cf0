"""The interface of every agent and schedule."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusionkd import zoo
from fusionkd.fileio import atomic_path
from fusionkd.rl.actions import ActionSpace

BINS = 10


class BaseAgent:
    """Decides the controls of a training.

    The life of an agent: :meth:`setup` once; then for every decision :meth:`act`, one interval of training,
    :meth:`observe`, :meth:`update`. Decisions about single samples, each an episode of one step, go through
    :meth:`act_many` and :meth:`observe_many`, many at a time and in any order. Agents draw from a generator of their own
    and never from the global ones.

    An agent of your own implements :meth:`decide`; if it learns, also :meth:`learn`, :meth:`learn_many`, :meth:`improve`,
    ``state_dict``, ``load_state_dict`` and :meth:`policy_state`, :meth:`load_policy_state`.

    Attributes:
        paired: trainings from which it learns come in pairs of one seed, the second with ``mirrored=True``.

    Args:
        seed: of the agent's generator. Default 0.
        frozen: take the best action always and learn nothing. Default False.
        init_from: policy file to start from, as :meth:`save_policy` writes it, or the name of a packaged one. Default none.
    """

    paired = False

    def __init__(self, seed: int = 0, frozen: bool = False, init_from: str | None = None):
        self.frozen = frozen
        self.init_from = init_from
        self.generator = torch.Generator().manual_seed(seed)

    def setup(self, observation_size: int, space: ActionSpace, names: Sequence[str] = ()) -> None:
        """Learn the sizes, and load the policy of ``init_from``.

        Args:
            observation_size: length of the observations.
            space: what the agent may set; it is not changed.
            names: of the observations' elements; empty when they have none. Default empty.

        Raises:
            ValueError: as many names as elements were expected, or ``init_from`` is of another task.
        """
        if names and len(names) != observation_size:
            raise ValueError(f'{observation_size} observations have {len(names)} names: {list(names)}')
        self.observation_size = observation_size
        self.names = list(names)
        self.space = space
        self.counts = {
            name: torch.zeros(len(control.options) or BINS, dtype=torch.int64)
            for name, control in space.controls.items()
        }
        self.pending: object = None
        self.build()
        if self.init_from is not None:
            self.load_policy(self.init_from)

    def build(self) -> None:
        """Make what depends on the sizes; called by :meth:`setup`."""

    def act(self, observation: np.ndarray, progress: float, explore: bool = True) -> np.ndarray:
        """Decide.

        Args:
            observation: ``(observation_size,)``.
            progress: share of the training that is over, in [0, 1].
            explore: sample, as learning needs it; otherwise the best action. Default True.

        Returns:
            Action, as in :class:`ActionSpace`.
        """
        explore = explore and not self.frozen
        actions, tickets = self.decide(_rows(observation, self.observation_size, 1), progress, explore)
        if explore:
            self.pending = tickets[0]
        self._count(actions)
        return actions[0]

    def act_many(
        self, observations: np.ndarray, progress: float, explore: bool = True
    ) -> tuple[np.ndarray, list[object]]:
        """Decide for single samples.

        Args:
            observations: ``(N, observation_size)``.
            progress: share of the training that is over, in [0, 1].
            explore: sample, as learning needs it; otherwise the best actions. Default True.

        Returns:
            Actions ``(N, len(space))`` and N tickets, to be handed back with the rewards; they can be saved with
            ``torch.save``.
        """
        explore = explore and not self.frozen
        actions, tickets = self.decide(_rows(observations, self.observation_size), progress, explore)
        self._count(actions)
        return actions, tickets

    def observe(self, reward: float, next_observation: np.ndarray, done: bool, truncated: bool = False) -> None:
        """Receive what the last action led to.

        Args:
            reward: for the interval since.
            next_observation: ``(observation_size,)``.
            done: the episode has come to its end.
            truncated: the episode was cut short here, though more reward would have followed. Default False.

        Raises:
            RuntimeError: a learning agent did not act before.
        """
        if self.frozen or not self.learns:
            return
        if self.pending is None:
            raise RuntimeError('observe() without an action: call act() first')
        following = _rows(next_observation, self.observation_size, 1)[0]
        self.learn(self.pending, float(reward), following, bool(done), bool(truncated))
        self.pending = None

    def observe_many(self, tickets: Sequence[object], rewards: Sequence[float]) -> None:
        """Receive the rewards of decisions about single samples.

        Args:
            tickets: N of those that :meth:`act_many` gave, each once.
            rewards: N numbers.

        Raises:
            ValueError: not as many rewards as tickets.
        """
        rewards = torch.as_tensor(np.asarray(rewards, dtype=np.float64))
        if rewards.shape != (len(tickets),):
            raise ValueError(f'{len(tickets)} tickets need as many rewards, got shape {tuple(rewards.shape)}')
        if self.learns and not self.frozen and len(tickets):
            self.learn_many(list(tickets), rewards)

    def receive(
        self, observation: np.ndarray, ticket: object, reward: float, following: np.ndarray, done: bool
    ) -> None:
        """Learn from a decision that was taken elsewhere by the same policy.

        Args:
            observation: ``(observation_size,)``, what was seen.
            ticket: what :meth:`decide` gave for the decision.
            reward: for it.
            following: ``(observation_size,)``, what was seen next.
            done: the episode came to its end.
        """
        self.see(_rows(observation, self.observation_size, 1))
        self.pending = ticket
        self.observe(reward, following, done)

    def receive_many(self, observations: np.ndarray, tickets: Sequence[object], rewards: Sequence[float]) -> None:
        """Learn from decisions about single samples that were taken elsewhere, see :meth:`observe_many`."""
        self.see(_rows(observations, self.observation_size))
        self.observe_many(tickets, rewards)

    def see(self, observations: Tensor) -> None:
        """Count ``(N, observation_size)`` float64 rows in the statistics that normalise observations."""

    def update(self) -> dict[str, float]:
        """Learn if enough was observed, and return what to log; empty otherwise."""
        return {} if self.frozen else self.improve()

    def action_histogram(self) -> dict[str, dict[str, float]]:
        """Shares of the actions taken since the start: by option of a choice, by tenth of a number's range."""
        shares = {}
        for name, counts in self.counts.items():
            control = self.space.controls[name]
            edges = np.linspace(control.low, control.high, BINS + 1)
            labels = control.options or [f'{a:.4g}..{b:.4g}' for a, b in pairwise(edges)]
            total = max(int(counts.sum()), 1)
            shares[name] = {label: count / total for label, count in zip(labels, counts.tolist(), strict=True)}
        return shares

    @property
    def learns(self) -> bool:
        """Whether the agent uses its rewards: schedules do not."""
        return type(self).learn is not BaseAgent.learn

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        """Actions for each of ``(N, observation_size)`` float64 rows, and what learning needs to know about each."""
        raise NotImplementedError(f'{type(self).__name__} must implement decide')

    def learn(self, ticket: object, reward: float, following: Tensor, done: bool, truncated: bool) -> None:
        """Keep or use one step of an episode; ``following`` is the next observation."""

    def learn_many(self, tickets: list, rewards: Tensor) -> None:
        """Keep or use episodes of one step; ``rewards`` ``(N,)`` float64."""

    def improve(self) -> dict[str, float]:
        """One :meth:`update`."""
        return {}

    def state_dict(self) -> dict:
        """Everything a resumed run needs to take the same decisions."""
        return copy.deepcopy(
            dict(generator=self.generator.get_state(), counts=self.counts, pending=self.pending)  # not the live tensors
        )

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict`; called after :meth:`setup`."""
        state = copy.deepcopy(state)
        self.generator.set_state(state['generator'].cpu())
        self.counts, self.pending = state['counts'], state['pending']

    def policy_state(self) -> dict:
        """What was learnt, with the statistics that normalise it: nested dicts of tensors; empty for a schedule."""
        return {}

    def load_policy_state(self, state: dict) -> None:
        """Take over :meth:`policy_state`."""

    def layout(self) -> dict:
        """What must agree before a policy can be used by another run."""
        controls = [
            dict(name=name, options=list(c.options)) if c.options else dict(name=name, low=c.low, high=c.high)
            for name, c in self.space.controls.items()
        ]
        return dict(
            agent=type(self).__name__,
            observation_size=self.observation_size,
            observations=self.names,
            controls=controls,
        )

    def save_policy(self, path: str | Path, card: Mapping | None = None) -> None:
        """Write what was learnt, and beside it a card, ``<path without suffix>.json``.

        Args:
            path: file to write; it loads with ``torch.load(path, weights_only=True)``.
            card: whatever a reader should know, such as data, recipe and results. The layout that a run must have to use
                the policy and the file's sha256 are added. Default nothing.

        Raises:
            ValueError: a schedule, which has learnt nothing; or the card uses a key that is added.
        """
        state = self.policy_state()
        if not state:
            raise ValueError(f'{type(self).__name__} learns nothing, so it has no policy to save')
        reserved = {*self.layout(), 'sha256'} & set(card or {})
        if reserved:
            raise ValueError(f'the card must not set {sorted(reserved)}, which are written by save_policy')
        path = Path(path)
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        with atomic_path(path.with_suffix('.json')) as temporary:
            text = json.dumps(dict(card or {}) | self.layout() | dict(sha256=digest), indent=2)
            temporary.write_text(text + '\n', encoding='utf-8')

    def load_policy(self, path: str | Path) -> dict:
        """Start from a policy that another run has learnt; called after :meth:`setup`.

        Args:
            path: file that :meth:`save_policy` wrote, with its card beside it, or the name of a packaged policy.

        Returns:
            The card.

        Raises:
            FileNotFoundError: no such policy or no card.
            ValueError: the file is not the one of the card, or agent, observations or controls differ from this run's.
        """
        path = zoo.policy(path)
        for file in (path, path.with_suffix('.json')):
            if not file.is_file():
                packaged = ', '.join(zoo.policies()) or 'none'
                raise FileNotFoundError(
                    f'policy file not found: {file}; save_policy() writes a policy and its card; packaged: {packaged}'
                )
        card = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
        differences = [
            f'{key}: it has {card.get(key)}, this run {value}'
            for key, value in self.layout().items()
            if card.get(key) != value
        ]
        if differences:
            raise ValueError(f'policy {path} was learnt for another task. ' + '; '.join(differences))
        if hashlib.sha256(path.read_bytes()).hexdigest() != card.get('sha256'):
            raise ValueError(f'policy {path} is not the file its card describes; copy both again')
        self.load_policy_state(torch.load(path, weights_only=True))
        return card

    def _count(self, actions: np.ndarray) -> None:
        for i, counts in enumerate(self.counts.values()):
            column = torch.as_tensor(actions[:, i])
            bins = column if i >= self.space.box else (column * BINS).floor()
            counts.add_(torch.bincount(bins.long().clamp(0, len(counts) - 1), minlength=len(counts)))


def _rows(observation: np.ndarray, size: int, count: int | None = None) -> Tensor:
    rows = torch.as_tensor(np.atleast_2d(np.asarray(observation, dtype=np.float64)))
    if rows.shape[1:] != (size,) or count not in (None, len(rows)):
        raise ValueError(f'expected observations of {size} elements, got shape {np.shape(observation)}')
    return rows
