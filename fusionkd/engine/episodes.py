"""Whole trainings as episodes, from which an agent learns (not from the paper).

One short training holds some dozens of decisions, too few for a policy from nothing. Workers train with the policy as it is
and bring back what happened; the parent's agent learns from several trainings at a time.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from fusionkd.engine.config import load_config
from fusionkd.engine.hooks import AgentHook
from fusionkd.engine.pool import short_message
from fusionkd.engine.study import agent_class, agent_hook_config, learns, seed_run
from fusionkd.engine.sweep import TrainClock, quiet, train_quietly
from fusionkd.rl.agents import BaseAgent


@dataclass(frozen=True)
class EpisodeTask:
    """One training.

    Attributes:
        episode: number, from 0.
        seed: of everything that is drawn.
        policies: file to act by, by role.
        mirrored: agents that explore in pairs take the second side. Default False.
    """

    episode: int
    seed: int
    policies: dict[str, str]
    mirrored: bool = False


@dataclass(frozen=True)
class EpisodePlan:
    """What all episodes share.

    Attributes:
        config: recipe with an :class:`AgentHook`.
        options: dotted values that replace the recipe's.
        data_root: replaces the root of every data set in the recipe.
        threads: of each worker.
    """

    config: str
    options: dict[str, Any] = field(default_factory=dict)
    data_root: str | None = None
    threads: int = 1

    def load(self, task: EpisodeTask | None = None) -> Config:
        """The recipe, of a task with its seed and its policies.

        Raises:
            ValueError: no agent that learns.
        """
        config = load_config(self.config, self.options, self.data_root)
        for key in ('arms', 'study'):
            config.pop(key, None)
        if not learns(config):
            raise ValueError(f'{self.config} has no AgentHook with an agent that learns')
        if task is not None:
            seed_run(config, task.seed)
            for role, file in task.policies.items():
                agent = agent_config(config, role)
                agent.init_from = file
                if agent_class(agent).paired:
                    agent.mirrored = task.mirrored
        return config

    def make_trainer(self) -> EpisodeTrainer:
        """For a worker of a pool."""
        return EpisodeTrainer(self)


class EpisodeTrainer:
    """Runs one training after the other in one process.

    Args:
        plan: what they share.
    """

    def __init__(self, plan: EpisodePlan):
        self.plan = plan
        self.count = 0

    def run_task(self, task: EpisodeTask) -> dict[str, Any]:
        """``steps`` and ``samples`` to learn from, ``return``, final ``score``, ``decisions`` and seconds; or ``error``."""
        start = time.perf_counter()
        self.count += 1
        clock = TrainClock()
        recorder = _Recorder()
        try:
            with tempfile.TemporaryDirectory(prefix='episode_') as folder:
                config = quiet(self.plan.load(task), folder, f'episode_{self.count}')
                runner = train_quietly(config, [clock, recorder])
        except Exception as error:  # whatever a training does, the next one is tried
            return dict(error=short_message(error), seconds=dict(total=time.perf_counter() - start))
        hook = find_agent_hook(runner)
        decisions = hook.scheduler.decisions
        return dict(
            steps=[vars(step) for step in hook.scheduler.journal],
            samples=hook.samples.journal if hook.samples else [],
            actions=hook.scheduler.agent.action_histogram(),
            score=decisions[-1].score,
            seconds=dict(training=clock.seconds, total=time.perf_counter() - start),
            **{'return': float(sum(d.reward for d in decisions if d.reward is not None))},
        )


def find_agent_hook(runner: Runner) -> AgentHook:
    """The Runner's."""
    return next(hook for hook in runner.hooks if isinstance(hook, AgentHook))


def agent_config(config: Config, role: str) -> Config:
    """Config of the agent of a role in a recipe."""
    hook = agent_hook_config(config)
    return hook.agent if role == 'agent' else hook.sample_agent.agent


def make_agents(plan: EpisodePlan, seed: int) -> dict[str, BaseAgent]:
    """The agents that learn in the parent, by role, set up as a training sets up its own.

    Args:
        plan: of the episodes.
        seed: of the agents that have none of their own.
    """
    config = plan.load()
    seed_run(config, seed)
    with tempfile.TemporaryDirectory(prefix='episode_') as folder:
        runner = train_quietly(quiet(config, folder, 'episode_setup'), [_Stop()])
    hook = find_agent_hook(runner)
    agents = dict(agent=hook.scheduler.agent)
    if hook.samples:
        agents['sample_agent'] = hook.samples.agent
    for agent in agents.values():
        agent.pending = None  # the first decision of a training that will not be
    return {role: agent for role, agent in agents.items() if agent.learns}


def learn_from(agents: Mapping[str, BaseAgent], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Let agents learn from finished episodes, all of them in one update.

    Args:
        agents: by role.
        outcomes: of :meth:`EpisodeTrainer.run_task`, in order.

    Returns:
        What each agent logged, by role; nothing where its rollout is longer than the episodes so far.
    """
    for outcome in outcomes:
        if 'agent' in agents:
            for step in outcome['steps']:
                agents['agent'].receive(**step)
        if 'sample_agent' in agents:
            for sample in outcome['samples']:
                agents['sample_agent'].receive_many(*sample)
    return {role: agent.update() for role, agent in agents.items()}


class _Recorder(Hook):
    """Lets the agents of a training act but not learn."""

    def before_train(self, runner: Runner) -> None:
        hook = find_agent_hook(runner)
        hook.scheduler.journal = []
        if hook.samples:
            hook.samples.journal = []


class _Stop(Hook):
    """Ends a training before its first iteration."""

    def before_train(self, runner: Runner) -> None:
        runner.train_loop.stop_training = True


def save_agents(agents: Mapping[str, BaseAgent], folder: Path, card: Mapping[str, Any]) -> dict[str, str]:
    """Write the policies, ``policy.pth`` and ``sample_policy.pth``, with their cards, and return the files by role."""
    files = {}
    for role, agent in agents.items():
        path = folder / ('policy.pth' if role == 'agent' else 'sample_policy.pth')
        agent.save_policy(path, copy.deepcopy(dict(card)) | dict(role=role))
        files[role] = str(path)
    return files
