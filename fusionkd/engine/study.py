"""Ways to train the same student, compared: arms times seeds, each run scored on test sets, clean and degraded."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor
from torch.utils.data import Dataset

from fusionkd import zoo
from fusionkd.datasets.identity import pair_identities, pair_identity
from fusionkd.engine.checkpoint import save_weights
from fusionkd.engine.config import load_config
from fusionkd.engine.hooks import AgentHook
from fusionkd.engine.pool import short_message
from fusionkd.engine.records import digest, write_json
from fusionkd.engine.sweep import METRICS, TrainClock, quiet, train_quietly
from fusionkd.evaluation import get_protocol
from fusionkd.evaluation.methods import score_methods
from fusionkd.hard_samples import degrade_pair, known_degradations
from fusionkd.ops.crop import centre_crop
from fusionkd.registry import AGENTS, DATASETS, HARD_SAMPLES, MODELS, PROBES
from fusionkd.rl.agents import BaseAgent
from fusionkd.rl.probe import Probe

COLUMNS = (*METRICS, 'target', 'balanced', 'hybridfusion')
VALIDATION = 'validation'
CLEAN = 'clean'
TEACHER = 'teacher: '


@dataclass(frozen=True)
class StudyTask:
    """One training of an arm, or the scoring of a teacher.

    Attributes:
        arm: name; of a teacher with ``TEACHER`` before it.
        seed: of everything that is drawn.
        options: of the arm, on top of the recipe.
    """

    arm: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Below the study's."""
        return f'runs/{self.arm.replace(": ", "_")}/seed{self.seed}'


@dataclass(frozen=True)
class StudyPlan:
    """What all runs of a study share.

    Attributes:
        config: a recipe that also holds ``arms``, options by name.
        out: folder of the study.
        options: dotted values that replace the recipe's in all arms.
        data_root: replaces the root of every data set in the recipe.
        sets: folder with ``ir`` and ``vi`` of each test set, by name.
        pairs: of each test set, spread evenly; 0 means all.
        crop: side of the central square that is scored, 0 whole images.
        unseen: operations that degrade the test sets, in turn from pair to pair, by kind; every kind is scored by itself.
        strength: of them, in (0, 1].
        threads: of each worker.
    """

    config: str
    out: str
    options: dict[str, Any] = field(default_factory=dict)
    data_root: str | None = None
    sets: dict[str, str] = field(default_factory=dict)
    pairs: int = 20
    crop: int = 0
    unseen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strength: float = 0.5
    threads: int = 1

    def load(self, options: Mapping[str, Any] | None = None, seed: int | None = None) -> Config:
        """The recipe with the plan's options, those of an arm, and a seed for everything that draws."""
        config = load_config(self.config, {**self.options, **(options or {})}, self.data_root)
        for key in ('arms', 'study'):
            config.pop(key, None)
        if seed is not None:
            seed_run(config, seed)
        return config

    def make_trainer(self) -> StudyTrainer:
        """For a worker of a pool."""
        return StudyTrainer(self)

    def describe(self) -> dict[str, Any]:
        """What decides the numbers besides arm and seed; a study may only be resumed where it is the same."""
        recipe = self.load()
        return dict(
            recipe=Path(self.config).name,
            recipe_hash=digest(load_config(self.config, self.options).to_dict() | dict(arms=None)),
            iterations=recipe.train_cfg.max_iters,
            sets=list(self.sets),
            pairs=self.pairs,
            crop=self.crop,
            unseen={kind: list(ops) for kind, ops in self.unseen.items()},
            strength=self.strength,
        )

    def check(self, arms: Mapping[str, Mapping[str, Any]]) -> None:
        """Build what can be built of every arm, and refuse what would make its numbers worthless.

        Raises:
            FileNotFoundError: a test set or a policy is not there.
            ValueError: arms of different lengths or data; operations of the test that are unknown, that an arm trains with,
                or that its agent is paid or informed by; a kind without any or named ``clean``; pairs that are in two of
                training, probe and test.
        """
        empty = [kind for kind, ops in self.unseen.items() if not ops or kind == CLEAN]
        if empty:
            raise ValueError(f'unseen={self.unseen}: {empty} need operations, and a name that is not {CLEAN!r}')
        unseen = set(itertools.chain(*self.unseen.values()))
        unknown = sorted(unseen - set(known_degradations()))
        if unknown:
            raise ValueError(f'unknown degradations {unknown}; known: {", ".join(known_degradations())}')
        tests = {name: open_set(name, folder) for name, folder in self.sets.items()}
        base = self.load()
        for arm, options in arms.items():
            config = self.load(options)
            for key in ('train_dataloader', 'train_cfg'):
                if config[key] != base[key]:
                    raise ValueError(f'arm {arm!r} changes {key}: arms of a study train equally long on the same data')
            hook = agent_hook_config(config)
            ops = set(_training_ops(config))
            if hook is not None:
                policy = hook.agent.get('init_from')
                if policy is not None and not zoo.policy(policy).is_file():
                    raise FileNotFoundError(
                        f'arm {arm!r} starts from the policy {policy}, which is not there: make it with '
                        'tools/train_agent.py, name it with --policy, or leave the arm out'
                    )
                ops |= set((hook.probe.get('degraded') or {}).get('ops', ()))
                for name, dataset in tests.items():
                    build_probe(hook).check_disjoint(dataset, f'test ({name})')
            shared = sorted(ops & unseen)
            if shared:
                raise ValueError(f'arm {arm!r} meets {shared} in training or on its probe; test with other operations')
        train = pair_identities(DATASETS.build(copy.deepcopy(base.train_dataloader.dataset)))
        for name, dataset in tests.items():
            both = sorted(train & pair_identities(dataset))
            if both:
                raise ValueError(f'{len(both)} pairs of {name} are training pairs, such as {both[0]}')


class StudyTrainer:
    """Trains and scores one run after the other in one process.

    Args:
        plan: what the runs share.
    """

    def __init__(self, plan: StudyPlan):
        self.plan = plan
        self.protocol = get_protocol('cddfuse')
        config = plan.load()
        self.sets = {name: PairSet(open_set(name, folder), plan.pairs) for name, folder in plan.sets.items()}
        if config.get('val_dataloader'):
            dataset = DATASETS.build(config.val_dataloader.dataset)
            self.sets[VALIDATION] = PairSet(dataset, plan.pairs, leave_out=self._probe_names(config))
        self.count = 0

    def run_task(self, task: StudyTask) -> dict[str, Any]:
        """Means of all metrics by set, clean and degraded, and seconds, also as ``run.json``; or ``error``."""
        start = time.perf_counter()
        self.count += 1
        try:
            fuser, outcome = self._teacher(task) if task.arm.startswith(TEACHER) else self._train(task)
            trained = time.perf_counter()
            scores = {name: self.score(fuser.eval(), pairs) for name, pairs in self.sets.items()}
        except Exception as error:  # whatever an arm does, the next run is tried
            return dict(error=short_message(error), seconds=dict(total=time.perf_counter() - start))
        outcome['seconds'] |= dict(scoring=time.perf_counter() - trained, total=time.perf_counter() - start)
        record = dict(arm=task.arm, seed=task.seed, options=digest(task.options)) | outcome | dict(scores=scores)
        write_json(Path(self.plan.out) / task.folder / 'run.json', record)
        return record

    @torch.no_grad()
    def score(self, fuser: torch.nn.Module, pairs: PairSet) -> dict[str, dict[str, float]]:
        """Means over the pairs where a metric is defined, under ``clean`` and each kind of degradation; sources are clean.

        Args:
            fuser: with ``predict(ir, vis)``.
            pairs: to fuse.
        """
        rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in (CLEAN, *self.plan.unseen)}
        for place, pair in enumerate(pairs):
            ir, vis = (centre_crop(x, self.plan.crop) for x in pair)
            fused = {CLEAN: fuser.predict(ir, vis)}
            for kind, ops in self.plan.unseen.items():
                op = ops[place % len(ops)]
                fused[kind] = fuser.predict(*degrade_pair(ir, vis, op, self.plan.strength, place))
            values = score_methods(ir, vis, fused, self.protocol, METRICS)
            for kind, row in values.items():
                row['balanced'] = row.pop('score')
                rows[kind].append(row)
        return {kind: _means(found) for kind, found in rows.items()}

    def _train(self, task: StudyTask) -> tuple[torch.nn.Module, dict[str, Any]]:
        folder = Path(self.plan.out) / task.folder
        folder.mkdir(parents=True, exist_ok=True)
        config = quiet(self.plan.load(task.options, task.seed), folder, f'study_{self.count}')
        clock = TrainClock()
        runner = train_quietly(config, [clock])
        model = getattr(runner.model, 'module', runner.model)
        save_weights(model.student, folder / 'student.pth')
        outcome: dict[str, Any] = dict(seconds=dict(training=clock.seconds, training_cpu=clock.cpu_seconds))
        hook = next((hook for hook in runner.hooks if isinstance(hook, AgentHook)), None)
        if hook is not None:
            outcome['actions'] = hook.scheduler.agent.action_histogram()
            if hook.samples is not None:
                outcome['sample_actions'] = hook.samples.agent.action_histogram()
        return model.student, outcome

    def _teacher(self, task: StudyTask) -> tuple[torch.nn.Module, dict[str, Any]]:
        name = task.arm.removeprefix(TEACHER)
        return build_teachers(self.plan.load(task.options))[name], dict(seconds={})

    def _probe_names(self, config: Config) -> set[str]:
        hook = agent_hook_config(config)
        if hook is None:
            return set()
        return build_probe(hook).identities


class PairSet:
    """Some pairs of a dataset, spread evenly, read again at every pass.

    Args:
        dataset: whose pipeline loads and packs.
        num: how many; 0, or more than there are, means all.
        leave_out: files or names that must not be among them.
    """

    def __init__(self, dataset: Dataset, num: int = 0, leave_out: set[str] = frozenset()):
        self.dataset = dataset
        allowed = [i for i in range(len(dataset)) if pair_identity(dataset.get_data_info(i)) not in leave_out]
        if not allowed:
            raise ValueError('no pair is left to score: all of them are probe pairs')
        count = min(num or len(allowed), len(allowed))
        self.indices = [allowed[i] for i in np.linspace(0, len(allowed) - 1, count).round().astype(int)]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        """``ir``, ``(1, H, W)``, and ``vis``, ``(1 or 3, H, W)``, in [0, 1]."""
        inputs = self.dataset[self.indices[place]]['inputs']  # an IndexError ends a loop
        return tuple(x.float() / 255 if x.dtype == torch.uint8 else x.float() for x in (inputs['ir'], inputs['vis']))


def open_set(name: str, folder: str | Path) -> Dataset:
    """Pairs of ``folder/ir`` and ``folder/vi``.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    return DATASETS.build(
        dict(
            type='PairedFusionDataset',
            data_root=str(folder),
            data_prefix=dict(ir='ir', vis='vi'),
            name=name,
            pipeline=[dict(type='LoadImagePair'), dict(type='PackFusionInputs')],
            test_mode=True,
        )
    )


def build_teachers(config: Config) -> dict[str, torch.nn.Module]:
    """Teachers of a recipe by name."""
    model = MODELS.build(copy.deepcopy(config.model))
    return {name: teacher.eval() for name, teacher in model.teachers.items()}


def agent_hook_config(config: Config) -> Config | None:
    """Config of the AgentHook of a recipe, or ``None``."""
    return next((hook for hook in config.get('custom_hooks') or [] if hook.get('type') == 'AgentHook'), None)


def build_probe(hook: Config) -> Probe:
    """Probe of an AgentHook's config."""
    return PROBES.build(dict(type='Probe') | copy.deepcopy(hook.probe))


def learns(config: Config) -> bool:
    """Whether a recipe's controls are set by something that learns, now or before, and not by a schedule."""
    hook = agent_hook_config(config)
    if hook is None:
        return False
    return any(agent_class(agent).learn is not BaseAgent.learn for agent in _agents(hook))


def seed_run(config: Config, seed: int) -> None:
    """Give a seed to the run, and to agents and hard samples that have none of their own."""
    config.merge_from_dict({'randomness.seed': seed})
    hook = agent_hook_config(config)
    if config.model.get('hard_samples'):
        config.model.hard_samples.setdefault('seed', seed)
    for node in _agents(hook) if hook is not None else []:
        if 'seed' in inspect.signature(agent_class(node)).parameters:
            node.setdefault('seed', seed)


def agent_class(node: Mapping[str, Any]) -> type[BaseAgent]:
    """Class of an agent's config."""
    return AGENTS.get(node['type']) if isinstance(node['type'], str) else node['type']


def _agents(hook: Config) -> list[Config]:
    return [hook.agent] + ([hook.sample_agent.agent] if hook.get('sample_agent') else [])


def _training_ops(config: Config) -> Sequence[str]:
    hard = config.model.get('hard_samples')
    if not hard:
        return ()
    return tuple(HARD_SAMPLES.build(copy.deepcopy(hard)).ops)


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    means = {}
    for name in rows[0]:
        values = [row[name] for row in rows if not math.isnan(row[name])]
        means[name] = float(np.mean(values)) if values else math.nan
    means['hybridfusion'] = (means['VIF'] + 1.5 * means['Qabf'] + means['SSIM']) / 3
    return means
