"""Ways to train the same network, compared: arms times seeds, each run scored by the recipe's own metric on its test set."""

from __future__ import annotations

import copy
import inspect
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from fusionkd.engine.checkpoint import save_weights
from fusionkd.engine.config import load_config
from fusionkd.engine.pool import short_message
from fusionkd.engine.records import digest
from fusionkd.engine.study import TEACHER, StudyTask
from fusionkd.engine.sweep import TrainClock, quiet, train_quietly
from fusionkd.registry import DATASETS, METRICS, MODELS

START = 'start'  # an arm that is not trained: the student as the recipe begins with it
TAIL = 100  # iterations at the end over which what the terms logged is averaged


@dataclass(frozen=True)
class ComparisonPlan:
    """What all runs of a study share.

    Attributes:
        config: a recipe that also holds ``arms``, options by name.
        out: folder of the study.
        options: dotted values that replace the recipe's in all arms.
        data_root: replaces the root of every data set in the recipe.
        threads: of each worker.
    """

    config: str
    out: str
    options: dict[str, Any] = field(default_factory=dict)
    data_root: str | None = None
    threads: int = 1

    def load(self, options: Mapping[str, Any] | None = None, seed: int | None = None) -> Config:
        """The recipe with the plan's options, those of an arm, and a seed for everything that draws."""
        config = load_config(self.config, {**self.options, **(options or {})}, self.data_root)
        config.pop('arms', None)
        updates = (config.pop('study', None) or {}).get('updates')
        if updates is not None:
            config.train_cfg.max_iters = iterations_for(config.model, updates)
        if seed is not None:
            config.merge_from_dict({'randomness.seed': seed})
            for term in config.model.get('terms', ()):
                if str(term.loss.type).endswith('PolicyLoss'):
                    term.loss.setdefault('seed', seed)
        return config

    def make_trainer(self) -> ComparisonTrainer:
        """For a worker of a pool."""
        return ComparisonTrainer(self)

    def describe(self) -> dict[str, Any]:
        """What decides the numbers besides arm and seed; a study may only be resumed where it is the same."""
        recipe = load_config(self.config, self.options).to_dict()
        updates = (recipe.get('study') or {}).get('updates')
        return dict(
            recipe=Path(self.config).name,
            recipe_hash=digest(recipe | dict(arms=None, study=None)),
            iterations=self.load().train_cfg.max_iters,
            **({} if updates is None else dict(updates=updates)),
        )

    def check(self, arms: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the model of every arm, and refuse arms of different lengths or data.

        Raises:
            ValueError: an arm changes the training's length or its data, or cannot be built.
        """
        base = self.load()
        ignored = dict(max_iters=None) if 'updates' in self.describe() else {}
        for arm, options in arms.items():
            config = self.load(options)
            for key in ('train_dataloader', 'train_cfg'):
                if dict(config[key], **ignored) != dict(base[key], **ignored):
                    raise ValueError(f'arm {arm!r} changes {key}: arms of a study train equally long on the same data')
            MODELS.build(copy.deepcopy(config.model))
        DATASETS.build(copy.deepcopy(base.test_dataloader.dataset))


def iterations_for(model: Mapping[str, Any], updates: int) -> int:
    """Iterations of the Runner in which the student is updated so often.

    :class:`RILDistiller` spends iterations on its discriminator, too; arms with and without one are compared at equally many
    updates of the student.

    Args:
        model: config of a distiller.
        updates: of the student.
    """
    if model.get('type') != 'RILDistiller' or not model.get('discriminator'):
        return updates
    pretrain = model.get('pretrain', inspect.signature(MODELS.get('RILDistiller')).parameters['pretrain'].default)
    return updates * (2 if model.get('train_discriminator', True) else 1) + pretrain


class ComparisonTrainer:
    """Trains and scores one run after the other in one process.

    Args:
        plan: what the runs share.
    """

    def __init__(self, plan: ComparisonPlan):
        self.plan = plan
        config = plan.load()
        self.dataset = DATASETS.build(copy.deepcopy(config.test_dataloader.dataset))
        self.batch_size = config.test_dataloader.batch_size
        self.metric = METRICS.build(copy.deepcopy(config.test_evaluator))
        self.count = 0

    def run_task(self, task: StudyTask) -> dict[str, Any]:
        """``scores`` on the test set, ``logs`` of the terms at the end, ``seconds``; or ``error``."""
        start = time.perf_counter()
        self.count += 1
        try:
            if task.arm == START:
                model, outcome = self._start(task)
            else:
                model, outcome = self._teacher(task) if task.arm.startswith(TEACHER) else self._train(task)
            scores = score(model, self.dataset, copy.deepcopy(self.metric), self.batch_size)
        except Exception as error:  # whatever an arm does, the next run is tried
            return dict(error=short_message(error), seconds=dict(total=time.perf_counter() - start))
        outcome['seconds']['total'] = time.perf_counter() - start
        return outcome | dict(scores=scores)

    def _train(self, task: StudyTask) -> tuple[nn.Module, dict[str, Any]]:
        folder = Path(self.plan.out) / task.folder
        folder.mkdir(parents=True, exist_ok=True)
        config = quiet(self.plan.load(task.options, task.seed), folder, f'kdrl_{self.count}')
        clock = TrainClock()
        log = TermLog()
        runner = train_quietly(config, [clock, log])
        model = getattr(runner.model, 'module', runner.model)
        save_weights(model.student, folder / 'student.pth')
        seconds = dict(training=clock.seconds, training_cpu=clock.cpu_seconds)
        return model, dict(seconds=seconds, logs=log.means())

    def _start(self, task: StudyTask) -> tuple[nn.Module, dict[str, Any]]:
        model = MODELS.build(self.plan.load(task.options).model)
        model.init_weights()
        return model, dict(seconds={})

    def _teacher(self, task: StudyTask) -> tuple[nn.Module, dict[str, Any]]:
        model = MODELS.build(self.plan.load(task.options).model)
        model.student = model.teachers[task.arm.removeprefix(TEACHER)]
        return model, dict(seconds={})


class TermLog(Hook):
    """Keeps what the terms logged in the last iterations."""

    def __init__(self):
        self.rows: deque[dict[str, float]] = deque(maxlen=TAIL)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        self.rows.append({k.removeprefix('stat_'): float(v) for k, v in outputs.items() if k.startswith('stat_')})

    def means(self) -> dict[str, float]:
        """Mean of each number over the iterations that have it."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: statistics.mean(row[name] for row in self.rows if name in row) for name in names}


@torch.no_grad()
def score(model: nn.Module, dataset: Dataset, metric: BaseMetric, batch_size: int = 64) -> dict[str, float]:
    """What a metric says of a distiller's student on a dataset."""
    model.eval()
    metric.dataset_meta = getattr(dataset, 'metainfo', None)
    for begin in range(0, len(dataset), batch_size):
        items = [dataset[i] for i in range(begin, min(begin + batch_size, len(dataset)))]
        batch = pseudo_collate(items)
        metric.process(batch, [sample.to_dict() for sample in model.test_step(batch)])
    return metric.compute_metrics(metric.results)


def summarise(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error; the error of one value is nan."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float('nan')
    return statistics.mean(values), error
