"""One training for every point of a grid, each student measured on validation pairs.

Workers of :mod:`fusionkd.engine.pool` keep the decoded images and the prepared validation pairs from one point to the next.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from fusionkd.datasets.identity import pair_identities
from fusionkd.engine.config import load_config
from fusionkd.engine.pool import short_message
from fusionkd.engine.records import digest
from fusionkd.engine.runner import FusionRunner
from fusionkd.evaluation import Scorer, evaluate, get_protocol, prepare_sources
from fusionkd.evaluation.images import as_batch, quantise, to_gray
from fusionkd.ops.crop import centre_crop
from fusionkd.registry import DATASETS, RUNNERS

METRICS = ('VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf')
# Paper B's is that of its loss search (arXiv 2602.20851); the other is fusionkd.evaluation.Scorer's.
SCORES = ('balanced', 'hybridfusion')

# Hooks that only write or that serve those which write.
_WRITERS = ('CheckpointHook', 'IterTimerHook', 'LoggerHook', 'RandomStateHook', 'RuntimeInfoHook', 'StudentFileHook')
_CANDIDATES = 64
_MMENGINE_WRITERS = dict(runtime_info=None, timer=None, logger=None, checkpoint=None)


@dataclass(frozen=True)
class Axis:
    """One dimension of a grid.

    Attributes:
        name: in tables and pictures.
        keys: dotted keys of the recipe that all take the value.
        values: in the order given.
    """

    name: str
    keys: tuple[str, ...]
    values: tuple[Any, ...]


# By name: the type whose options are searched, and their values. The grid is that of paper B's loss search.
PRESETS: dict[str, tuple[str, dict[str, tuple]]] = {
    'hybridfusion': (
        'FusionLoss',
        dict(maximum=(4, 10, 16, 40), gradient=(2, 32, 40, 64, 90), ssim=(1, 10, 32), consistency=(2, 12, 24, 40)),
    )
}


def preset_axes(name: str, config: Config) -> list[Axis]:
    """Axes of a preset, for a recipe; where the type stands several times, all take the same values.

    Raises:
        ValueError: the recipe's model has no such type.
    """
    wanted, options = PRESETS[name]
    places = [path for path, node in _nodes(config.model, 'model') if node.get('type') == wanted]
    if not places:
        raise ValueError(f'preset {name!r} sets options of {wanted}, which this recipe does not have')
    return [Axis(key, tuple(f'{place}.{key}' for place in places), values) for key, values in options.items()]


def parse_axes(arguments: Sequence[str]) -> list[Axis]:
    """Axes of ``KEY=v1,v2,...``; values are read as those of ``--cfg-options``, commas in brackets belong to a value.

    Raises:
        ValueError: not of this form, a key or a value twice.

    Example:
        >>> parse_axes(['optim_wrapper.optimizer.lr=0.001,0.003'])[0].values
        (0.001, 0.003)
    """
    parsed: dict[str, tuple] = {}
    for argument in arguments:
        key, equals, text = argument.partition('=')
        if not key or not equals or not text:
            raise ValueError(f'a grid takes KEY=v1,v2,..., got {argument!r}')
        values = DictAction._parse_iterable(f'[{text}]')
        if key in parsed or len({repr(v) for v in values}) < len(values):
            raise ValueError(f'{argument!r}: a key and each of its values may stand once')
        parsed[key] = tuple(values)
    names = _short(list(parsed))
    return [Axis(name, (key,), values) for name, (key, values) in zip(names, parsed.items(), strict=True)]


def grid(axes: Sequence[Axis], order_seed: int = 0) -> list[dict[str, Any]]:
    """Every point, by axis name, in a random order that is always the same.

    A beginning of it covers the grid: of some random points the next one is that whose values were met least so far.
    """
    rest = [
        dict(zip((a.name for a in axes), values, strict=True))
        for values in itertools.product(*(a.values for a in axes))
    ]
    random.Random(order_seed).shuffle(rest)
    met, order = Counter(), []

    def novelty(i: int) -> float:
        return sum(met[axis.name, repr(rest[i][axis.name])] * len(axis.values) for axis in axes)

    while rest:
        order.append(rest.pop(min(range(min(len(rest), _CANDIDATES)), key=novelty)))
        met.update((name, repr(value)) for name, value in order[-1].items())
    return order


def point_options(point: Mapping[str, Any], axes: Sequence[Axis]) -> dict[str, Any]:
    """The values of a point by the recipe's dotted keys."""
    return {key: point[axis.name] for axis in axes for key in axis.keys}


@dataclass(frozen=True)
class Plan:
    """What all points of a sweep share.

    Attributes:
        config: the recipe.
        options: dotted values that replace the recipe's, as of ``--cfg-options``.
        data_root: as of ``--data-root``.
        val_pairs: pairs measured on, spread evenly over the validation part; 0 means all.
        val_crop: side of the central square of each that is measured, in pixels; 0 means the whole image.
        threads: of each worker.
    """

    config: str
    options: dict[str, Any] = field(default_factory=dict)
    data_root: str | None = None
    val_pairs: int = 16
    val_crop: int = 256
    threads: int = 1

    def load(self, options: Mapping[str, Any] | None = None) -> Config:
        """The recipe with the plan's options and more of them."""
        return load_config(self.config, {**self.options, **(options or {})}, self.data_root)

    def make_trainer(self) -> Trainer:
        """For a worker of a pool."""
        return Trainer(self)

    def describe(self) -> dict[str, Any]:
        """What decides the numbers besides a point; a sweep may only be resumed where it is the same."""
        config = self.load()
        check_parts(config)
        recipe = load_config(self.config, self.options).to_dict()
        pairs = ValidationPairs(config, self.val_pairs, self.val_crop)
        return dict(
            recipe=Path(self.config).name,
            recipe_hash=digest(recipe),
            iterations=config.train_cfg.max_iters,
            protocol=pairs.protocol.key,
            val_names=pairs.names,
            val_crop=self.val_crop,
        )


def check_parts(config: Config) -> None:
    """Refuse a recipe whose students cannot be measured on pairs of their own.

    Raises:
        ValueError: no validation part, or one that shares pairs with the training or a test set.
    """
    if not config.get('val_dataloader'):
        raise ValueError('the recipe has no val_dataloader, and a sweep is never measured on a test set')
    names = pair_identities(DATASETS.build(config.val_dataloader.dataset))
    for part in ('test', 'train'):
        loader = config.get(f'{part}_dataloader') or {}
        if 'dataset' not in loader:
            continue
        try:
            shared = sorted(names & pair_identities(DATASETS.build(loader['dataset'])))
        except FileNotFoundError:
            if part == 'train':
                raise
            continue  # a test set that is not there is not the validation part
        if shared:
            raise ValueError(
                f'{len(shared)} validation pairs are also {part} pairs, such as {shared[0]}: a sweep picks the best of '
                "many and would pick memory or luck. Give validation its own part of the data (part='val')"
            )


class ValidationPairs:
    """Pairs on which students are measured, with everything prepared that does not depend on the student.

    Args:
        config: the recipe; its validation set and protocol are used.
        num: pairs, spread evenly over the set; 0, or more than there are, means all.
        crop: side of the central square, in pixels; smaller images are used as they are. 0 means no crop.
    """

    def __init__(self, config: Config, num: int = 16, crop: int = 256):
        dataset = DATASETS.build(config.val_dataloader.dataset)
        count = min(num or len(dataset), len(dataset))
        self.indices = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()
        self.names = [dataset.get_data_info(i)['name'] for i in self.indices]
        self.protocol = get_protocol((config.get('val_evaluator') or {}).get('protocol', 'cddfuse'))
        self.crop = crop
        self._dataset = dataset
        self._pairs: list[tuple] | None = None

    def measure(self, fuser: torch.nn.Module) -> dict[str, float]:
        """Means over the pairs of the metrics, ``target`` and both scores.

        Args:
            fuser: a network with ``predict(ir, vis)``.

        Returns:
            ``VIF``, ``Qabf``, ``SSIM``, ``SCD``, ``Nabf``, ``target``, ``balanced`` and ``hybridfusion``, which is
            ``(VIF + 1.5 Qabf + SSIM) / 3``.
        """
        if self._pairs is None:
            self._pairs = [self._prepare(self._dataset[i]['inputs']) for i in self.indices]
        rows = []
        with torch.no_grad():
            for ir, vis, sources, scorer in self._pairs:
                fused = fuser.predict(ir, vis).cpu()
                values = evaluate(None, None, fused, self.protocol, METRICS, 1, sources)
                parts = scorer.parts(_luma(fused))
                rows.append([*(float(values[m]) for m in METRICS), float(parts['target']), float(parts['score'])])
        table = np.array(rows)
        means = [float(c[~np.isnan(c)].mean()) if not np.isnan(c).all() else math.nan for c in table.T]
        result = dict(zip((*METRICS, 'target', 'balanced'), means, strict=True))
        result['hybridfusion'] = (result['VIF'] + 1.5 * result['Qabf'] + result['SSIM']) / 3
        return result

    def _prepare(self, inputs: Mapping[str, Tensor]) -> tuple:
        ir, vis = (_unit(centre_crop(inputs[key], self.crop)) for key in ('ir', 'vis'))
        return ir, vis, prepare_sources(ir, vis, self.protocol, METRICS, 1), Scorer(_luma(ir), _luma(vis))


@RUNNERS.register_module()
class QuietRunner(FusionRunner):
    """A Runner that writes nothing about itself: no environment, no config, no log file."""

    def build_logger(self, log_level: int | str = 'ERROR', log_file: str | None = None, **kwargs) -> MMLogger:
        """Logger without a file."""
        return MMLogger.get_instance(self._experiment_name, log_level=log_level)

    def _log_env(self, env_cfg: dict) -> None:
        """Not asked for: collecting it starts compilers and takes longer than a short training."""

    def dump_config(self) -> None:
        """Not asked for."""


def quiet(config: Config, work_dir: str | Path, name: str, loader_processes: bool = False) -> Config:
    """Make a recipe train and nothing else: no validation, no test, no checkpoints, no logs.

    Hooks that take part in the training, an agent's for one, stay.

    Args:
        config: changed in place.
        work_dir: for what hooks that stay may write.
        name: of the experiment; runs of one process need different ones.
        loader_processes: let the recipe's ``num_workers`` stand. Default False: loader processes that are started for a
            short training decode everything anew.

    Returns:
        ``config``, for :class:`QuietRunner`.
    """
    for part, what in itertools.product(('val', 'test'), ('dataloader', 'cfg', 'evaluator')):
        config[f'{part}_{what}'] = None
    hooks = config.get('default_hooks') or {}
    kept = {k: v for k, v in hooks.items() if v is not None and v.get('type') not in _WRITERS}
    config.default_hooks = {**_MMENGINE_WRITERS, **kept}
    if config.get('custom_hooks'):
        config.custom_hooks = [hook for hook in config.custom_hooks if hook.get('type') not in _WRITERS]
    config.visualizer = dict(type='Visualizer', vis_backends=[])
    config.log_level = 'ERROR'
    config.work_dir = str(work_dir)
    config.experiment_name = name
    if not loader_processes:
        config.train_dataloader['num_workers'] = 0
        for key in ('persistent_workers', 'prefetch_factor'):
            config.train_dataloader.pop(key, None)
    return config


_kept: dict[str, Dataset] = {}


@DATASETS.register_module()
def KeptDataset(dataset: dict, role: str) -> Dataset:  # noqa: N802 (the name of a type in configs)
    """The dataset of a config; the one built last for a role is given again, with the images it holds in memory."""
    key = f'{role} {json.dumps(dataset, sort_keys=True, default=str)}'
    if key not in _kept:
        for old in [k for k in _kept if k.startswith(f'{role} ')]:
            del _kept[old]
        _kept[key] = DATASETS.build(dataset)
    return _kept[key]


class Trainer:
    """Trains and measures one point after the other in one process.

    Args:
        plan: what the points share.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.pairs = ValidationPairs(plan.load(), plan.val_pairs, plan.val_crop)
        self.count = 0

    def run_task(self, task: Task) -> dict[str, Any]:
        """As :meth:`run`."""
        return self.run(task.options, task.seed)

    def run(self, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Metrics of the trained student and the seconds they took, or ``error``."""
        start = time.perf_counter()
        self.count += 1
        clock = TrainClock()
        try:
            with tempfile.TemporaryDirectory(prefix='sweep_') as folder:
                student = self._train(options, seed, clock, folder)
            trained = time.perf_counter()
            metrics = self.pairs.measure(student)
        except Exception as error:  # whatever a point does, the next one is tried
            return dict(error=short_message(error), seconds=dict(total=time.perf_counter() - start))
        end = time.perf_counter()
        seconds = dict(
            total=end - start,
            training=clock.seconds,
            validation=end - trained,
            overhead=trained - start - clock.seconds,
        )
        return dict(metrics=metrics, seconds={k: round(v, 4) for k, v in seconds.items()})

    def _train(self, options: Mapping[str, Any], seed: int, clock: Hook, folder: str) -> torch.nn.Module:
        config = quiet(self.plan.load({**options, 'randomness.seed': seed}), folder, f'sweep_{self.count}')
        runner = train_quietly(config, [clock])
        return getattr(runner.model, 'module', runner.model).student


def train_quietly(config: Config, hooks: Sequence[Hook] = ()) -> Runner:
    """Train what :func:`quiet` made; training images stay in memory for the next run of this process.

    Args:
        config: changed in place.
        hooks: called before all others.

    Returns:
        The Runner, after the training.
    """
    loader = config.train_dataloader
    if 'dataset' in loader:
        loader['dataset'] = dict(type='KeptDataset', dataset=loader['dataset'], role='train')
    runner = QuietRunner.from_cfg(config)
    for hook in hooks:
        runner.register_hook(hook, priority='VERY_HIGH')
    try:
        runner.train()
    finally:
        for manager in (type(runner.logger), type(runner.message_hub), type(runner.visualizer)):
            manager._instance_dict.pop(runner.experiment_name, None)  # mmengine keeps them for the process's life
    return runner


class TrainClock(Hook):
    """Seconds between the first iteration and the end of the training, and the process's CPU seconds."""

    seconds = 0.0
    cpu_seconds = 0.0

    def before_train(self, runner: Runner) -> None:
        self._start = time.perf_counter(), time.process_time()

    def after_train(self, runner: Runner) -> None:
        self.seconds = time.perf_counter() - self._start[0]
        self.cpu_seconds = time.process_time() - self._start[1]


@dataclass(frozen=True)
class Task:
    """One training: a point of the grid and a seed."""

    point: dict[str, Any]
    options: dict[str, Any]
    seed: int

    @property
    def key(self) -> str:
        """What tells it from the others of a sweep."""
        return json.dumps([self.options, self.seed], sort_keys=True, default=str)


def _nodes(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    """Every dict at or below a node, with its dotted path."""
    if isinstance(node, dict):
        yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in items:
        yield from _nodes(value, f'{path}.{key}')


def _short(keys: Sequence[str]) -> list[str]:
    """Endings of dotted keys, each as short as tells it from the others."""
    parts = [key.split('.') for key in keys]
    longest = max(map(len, parts), default=1)
    for length in range(1, longest + 1):
        names = ['.'.join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return list(keys)


def _unit(image: Tensor) -> Tensor:
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def _luma(image: Tensor) -> Tensor:
    """Rounded luma in [0, 1], ``(1, 1, H, W)``: what the balanced score is defined on."""
    return to_gray(quantise(as_batch('image', image, 1)), 'exact') / 255
