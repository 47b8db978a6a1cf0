"""Gives a distiller the cluster centres of its teacher."""

from __future__ import annotations

import copy

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.models.distillers.clusters import ClusterBank, load_or_fit
from fusionkd.registry import DATASETS, HOOKS


@HOOKS.register_module()
class ClusterHook(Hook):
    """Before the training, clusters the teacher's features of a dataset; a resumed run takes those of its checkpoint.

    Args:
        dataset: config of a set with all training images, whose pipeline loads and packs and nothing random.
        k: number of centres, in all or for each class. Default 1.
        per_class: whether for each class. Default True.
        seed: of k-means. Default 0.
        folder: where clusters are kept, for all runs; ``None`` keeps nothing. Default ``'work_dirs/cluster_cache'``.
    """

    priority = 'HIGH'

    def __init__(
        self,
        dataset: dict,
        k: int = 1,
        per_class: bool = True,
        seed: int = 0,
        folder: str | None = 'work_dirs/cluster_cache',
    ):
        self.dataset = dataset
        self.options = dict(k=k, per_class=per_class, seed=seed, folder=folder)
        self._resumed: dict | None = None
        self._bank: ClusterBank | None = None

    def before_train(self, runner: Runner) -> None:
        """Compute, find or restore the centres."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not model.teachers:
            raise ValueError('ClusterHook clusters the features of a teacher, but the distiller has none')
        if self._resumed is not None:
            self._bank = ClusterBank.from_state(self._resumed)
        else:
            (teacher,) = model.teachers.values()
            dataset = DATASETS.build(copy.deepcopy(self.dataset))
            self._bank = load_or_fit(
                teacher, model.data_preprocessor, dataset, report=runner.logger.info, **self.options
            )
        model.clusters = self._bank

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the centres."""
        if self._bank is not None:
            checkpoint['clusters'] = self._bank.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the centres once the training begins."""
        if runner._resume:
            self._resumed = checkpoint.get('clusters')
