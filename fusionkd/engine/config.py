"""From the command line to a Runner; shared by the tools."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from fusionkd.engine.runner import FusionRunner
from fusionkd.registry import DATASETS


def load_config(path: str | Path, options: dict | None = None, data_root: str | None = None) -> Config:
    """Read a recipe.

    The recipe's folder and the current one can be imported from while ``custom_imports`` are resolved, so that a
    config anywhere on disk can bring its own modules.

    Args:
        path: the recipe.
        options: values of dotted keys that replace those of the recipe. A schedule of the learning rate that lasts as
            long as the training follows ``train_cfg.max_iters``.
        data_root: replaces the root of every data set in the recipe.

    Raises:
        FileNotFoundError: no such recipe.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'config not found: {path}')
    for folder in (str(Path.cwd()), str(path.resolve().parent)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    config = Config.fromfile(path)
    if options:
        planned = config.train_cfg.get('max_iters') if 'train_cfg' in config else None
        config.merge_from_dict(copy.deepcopy(options))  # which takes `_delete_` out of what it is given
        _fit_schedule(config, planned)
    if data_root is not None:
        for dataset in _datasets(list(config.values())):
            if 'data_root' in dataset:
                dataset['data_root'] = data_root
    return config


def enable_amp(config: Config) -> None:
    """Run the networks of a recipe in bfloat16."""
    config.optim_wrapper['type'] = 'Bf16OptimWrapper'


def build_runner(config: Config, check: tuple[str, ...] = ('train', 'val', 'test')) -> FusionRunner:
    """Runner of a recipe, after a look at its data: what is missing is said now and not after the training.

    Args:
        config: from :func:`load_config`, with ``work_dir``.
        check: whose data sets must be there; those of hooks belong to the training.
    """
    nodes = [config.get(f'{name}_dataloader') for name in check]
    nodes += [config.get('custom_hooks')] if 'train' in check else []
    for dataset in _datasets([node for node in nodes if node]):
        DATASETS.build(copy.deepcopy(dataset))
    return FusionRunner.from_cfg(config)


def _fit_schedule(config: Config, planned: int | None) -> None:
    """Let schedules that ended with the training still end with it, where its length was replaced."""
    iters = config.train_cfg.get('max_iters') if 'train_cfg' in config else None
    for scheduler in config.get('param_scheduler') or []:
        for key in ('total_steps', 'T_max', 'end'):
            if iters != planned and scheduler.get(key) == planned:
                scheduler[key] = iters


def _datasets(node: object) -> Iterator[ConfigDict]:
    """Every dataset config below a node."""
    if isinstance(node, dict):
        dataset = node.get('dataset')
        if isinstance(dataset, dict) and 'datasets' in dataset:
            yield from dataset['datasets']
        elif isinstance(dataset, dict):
            yield dataset
        for value in node.values():
            yield from _datasets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _datasets(value)
