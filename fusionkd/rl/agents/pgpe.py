"""Policy gradients with parameter-based exploration: one perturbed policy per training."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor

from fusionkd.registry import AGENTS
from fusionkd.rl.functional import RunningMoments, normal_entropy

from .base import BaseAgent


@AGENTS.register_module()
class PGPEAgent(BaseAgent):
    """A linear policy whose parameters, not its actions, are explored (PGPE, Sehnke et al., Neural Networks 2010).

    Noise on every single decision cancels out over a training: all trainings look alike, and the gain of one decision is
    buried in chance. Here one draw of the parameters holds for many decisions and is compared with its mirror image, in
    :mod:`fusionkd.engine.episodes` in two trainings of the same seed. Deviations stay as they are (not from the paper, which
    adapts them), and steps are measured by what a draw has been worth so far: where draws hardly differ any more, the policy
    hardly moves.

    Numbers are the sigmoid of ``b + W tanh(x)``, x the observations normalised by running moments, choices its largest
    output. At first W is 0 and b such that the action is the initial one.

    Args:
        population: draws per update, an even number. Default 8.
        lr: step in units of the deviation, for returns of deviation 1, as estimated from all updates so far. Default 1.
        std: deviation of b and W. Default 0.8.
        inputs: patterns of the observations that the policy sees, such as ``'gap/*/score'``; empty for a policy that is a
            constant. Default all of them.
        hold: decisions that a draw lasts within a training. Default ``None``: to its end, so that nothing is learnt from one
            training alone.
        mirrored: begin with the mirror image of the draw. Default False.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.

    Raises:
        ValueError: a population that is not even, a ``hold`` below 1; when set up, a pattern without a match.
    """

    paired = True

    def __init__(
        self,
        population: int = 8,
        lr: float = 1.0,
        std: float = 0.8,
        inputs: Sequence[str] | None = None,
        hold: int | None = None,
        mirrored: bool = False,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(seed, frozen, init_from)
        if population < 2 or population % 2:
            raise ValueError(f'population={population}: draws come in pairs, expected an even number')
        if hold is not None and hold < 1:
            raise ValueError(f'hold={hold}; expected 1 or more decisions, or None for all of a training')
        if not std > 0:
            raise ValueError(f'std must be positive, got {std}')
        self.population, self.lr, self.std = population, lr, std
        self.inputs, self.hold, self.mirrored = inputs, hold, mirrored

    def build(self) -> None:
        """Lay out the parameters."""
        space = self.space
        self.columns = list(range(self.observation_size))
        if self.inputs is not None:
            lonely = [p for p in self.inputs if not any(fnmatchcase(name, p) for name in self.names)]
            if lonely:
                known = ', '.join(self.names) or 'no names'
                raise ValueError(f'no observation matches {lonely}; there are: {known}')
            self.columns = [i for i, n in enumerate(self.names) if any(fnmatchcase(n, p) for p in self.inputs)]
        self.sizes = [space.box, *space.choices]
        self.mean = torch.zeros(sum(self.sizes), 1 + len(self.columns), dtype=torch.float64)
        initial = torch.as_tensor(space.initial, dtype=torch.float64)
        bias, *logits = self.mean[:, 0].split(self.sizes)
        bias.copy_(torch.logit(initial[: space.box].clamp(0.02, 0.98)))
        for part, index in zip(logits, initial[space.box :].long(), strict=True):
            part[index] = 1e-6
        self.moments = RunningMoments(len(self.columns))
        self.drawn: Tensor | None = None  # last draw, (parameters, inputs)
        self.noise: Tensor | None = None  # in force: the draw or its mirror image
        self.taken = 0  # decisions under it
        self.held = 0  # of them paid for
        self.second = self.mirrored  # the next draw is the mirror image of the last
        self.earned = 0.0
        self.worth = [0.0, 0]  # of draws so far: sum of squared advantages, and how many
        self.outcomes: list[tuple[Tensor, float, float]] = []  # noise, return, baseline: nan, the mean of its pair

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        if explore:
            self.see(observations)
        inputs = self.moments.normalise(observations[:, self.columns]).double().tanh()
        inputs = torch.cat([torch.ones(len(inputs), 1, dtype=torch.float64), inputs], dim=1)
        if not explore:
            noise = torch.zeros(len(inputs), *self.mean.shape, dtype=torch.float64)
        elif len(inputs) == 1:
            noise = self._hold()[None]
        else:
            noise = torch.randn(len(inputs), *self.mean.shape, generator=self.generator, dtype=torch.float64)
        raw = ((self.mean + self.std * noise) @ inputs[:, :, None])[:, :, 0]
        numbers, *logits = raw.split(self.sizes, dim=1)
        chosen = [part.argmax(1, keepdim=True).double() for part in logits]
        actions = torch.cat([numbers.sigmoid(), *chosen], dim=1).numpy()
        if not explore:
            return actions, [None] * len(actions)
        return actions, [dict(noise=each.clone()) for each in noise]

    def see(self, observations: Tensor) -> None:
        if self.columns:
            self.moments.update(observations[:, self.columns])

    def learn(self, ticket: dict, reward: float, following: Tensor, done: bool, truncated: bool) -> None:
        self.earned += reward
        self.held += 1
        if done or truncated or self.held == self.hold:
            self.outcomes.append((ticket['noise'], self.earned, math.nan))
            self.held, self.earned = 0, 0.0
        if done or truncated:
            self.noise = None

    def learn_many(self, tickets: list[dict], rewards: Tensor) -> None:
        baseline = rewards.mean().item()
        pairs = zip(tickets, rewards.tolist(), strict=True)
        self.outcomes += [(ticket['noise'], reward, baseline) for ticket, reward in pairs]

    def improve(self) -> dict[str, float]:
        """Learn when the population is complete."""
        if len(self.outcomes) < self.population:
            return {}
        noise = torch.stack([noise for noise, _, _ in self.outcomes])
        returns = torch.tensor([earned for _, earned, _ in self.outcomes], dtype=torch.float64)
        advantages = returns - self._baselines(returns)
        self.outcomes = []
        self.worth = [self.worth[0] + advantages.square().sum().item(), self.worth[1] + len(advantages)]
        step = (advantages / (math.sqrt(self.worth[0] / self.worth[1]) + 1e-8))[:, None, None] * noise
        step = self.lr * step.mean(0)
        self.mean += self.std * step
        entropy = normal_entropy(torch.tensor(math.log(self.std))).item() * self.mean.numel()
        return dict(
            loss=-returns.mean().item(),
            spread=advantages.std().item(),
            entropy=entropy,
            approx_kl=0.5 * step.square().sum().item(),
        )

    def _baselines(self, returns: Tensor) -> Tensor:
        """Of each return: given, or the mean of its pair; a draw whose mirror image is missing learns nothing."""
        found = torch.tensor([baseline for _, _, baseline in self.outcomes], dtype=torch.float64)
        paired = found.isnan().nonzero()[:, 0]
        found[paired] = returns[paired]
        for first, second in paired[: len(paired) // 2 * 2].view(-1, 2).tolist():
            found[first] = found[second] = returns[[first, second]].mean()
        return found

    def _hold(self) -> Tensor:
        """The noise in force, or a new one: a draw and its mirror image in turn."""
        if self.noise is None or self.taken == self.hold:
            if self.drawn is None or not self.second:
                self.drawn = torch.randn(self.mean.shape, generator=self.generator, dtype=torch.float64)
            self.noise = -self.drawn if self.second else self.drawn
            self.second, self.taken = not self.second, 0
        self.taken += 1
        return self.noise

    def state_dict(self) -> dict:
        own = dict(
            **self.policy_state(),
            noise=self.noise,
            drawn=self.drawn,
            taken=self.taken,
            held=self.held,
            second=self.second,
            earned=self.earned,
            worth=self.worth,
            outcomes=self.outcomes,
        )
        return super().state_dict() | copy.deepcopy(own)

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        state = copy.deepcopy(state)
        self.load_policy_state(state)
        for name in ('noise', 'drawn', 'taken', 'held', 'second', 'earned', 'worth', 'outcomes'):
            setattr(self, name, state[name])

    def policy_state(self) -> dict:
        """Mean parameters and the statistics of the observations."""
        return dict(mean=self.mean.clone(), moments=self.moments.state_dict())

    def load_policy_state(self, state: dict) -> None:
        self.mean = state['mean'].clone()
        self.moments.load_state_dict(state['moments'])

    def layout(self) -> dict:
        """Only what the policy looks at must be there."""
        names = [self.names[i] for i in self.columns] if self.names else []
        return super().layout() | dict(observation_size=len(self.columns), observations=names)
