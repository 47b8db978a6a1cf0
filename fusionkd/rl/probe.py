"""The fixed pairs on which an agent measures the student."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor
from torch.utils.data import Dataset

from fusionkd.evaluation import Scorer
from fusionkd.registry import DATASETS

if TYPE_CHECKING:
    from fusionkd.models.distillers import FusionDistiller


class Probe:
    """A few pairs, cut to one size, that are never trained on and never tested on.

    Args:
        dataset: config of a dataset. Its pipeline must load and pack and nothing random.
        num: pairs, spread evenly over the dataset. Default 8.
        size: side of the central square that is used, in pixels; smaller images limit it. Default 192.

    The dataset is built when a training starts, so that testing a student does not need it.
    """

    def __init__(self, dataset: dict, num: int = 8, size: int = 192):
        self.config = dataset
        self.num = num
        self.size = size

    @cached_property
    def dataset(self) -> Dataset:
        """Where the pairs are from.

        Raises:
            ValueError: it has fewer pairs than asked for.
        """
        dataset = DATASETS.build(self.config)
        if len(dataset) < self.num:
            raise ValueError(f'the probe set has {len(dataset)} pairs, {self.num} were asked for; lower num')
        return dataset

    @property
    def indices(self) -> list[int]:
        """Positions of the pairs in :attr:`dataset`."""
        return np.linspace(0, len(self.dataset) - 1, self.num).round().astype(int).tolist()

    def check_disjoint(self, other: object, what: str) -> None:
        """Refuse pairs that the run trains or tests on.

        Args:
            other: dataset to compare with; sets without files on disk are compared by name.
            what: its role, for the message.

        Raises:
            ValueError: at least one pair is in both.
        """
        mine = {_identity(self.dataset.get_data_info(i)) for i in self.indices}
        shared = sorted(mine & {_identity(info) for info in _all_infos(other)})
        if shared:
            raise ValueError(
                f'{len(shared)} probe pairs are also {what} pairs, such as {shared[0]}: the agent would be paid for '
                "memory. Give the probe its own part of the data (part='val')"
            )

    def load(self, model: FusionDistiller) -> None:
        """Read the pairs, fuse them with the teachers once and score those."""
        items = [self.dataset[i] for i in self.indices]
        size = min(self.size, *(s for item in items for s in item['inputs']['ir'].shape[-2:]))
        for item in items:
            item['inputs'] = {key: _centre(image, size) for key, image in item['inputs'].items()}
        inputs = model.data_preprocessor(pseudo_collate(items))['inputs']
        self.ir, self.vis = inputs['ir'], inputs['vis']
        self.scorer = Scorer(self.ir, self.vis)
        with torch.no_grad():
            self.teachers = {name: t.fuse(self.ir, self.vis).float() for name, t in model.teachers.items()}
        self.teacher_scores = {name: self.scorer(fused) for name, fused in self.teachers.items()}

    @torch.no_grad()
    def measure(self, model: FusionDistiller) -> tuple[dict[str, float], dict[str, float]]:
        """Score of the student now, and its distance to each teacher.

        Returns:
            ``Scorer``'s values of the student, means over the pairs; and by teacher the mean absolute difference of the
            fused images, in [0, 1].
        """
        training = model.student.training
        model.student.eval()
        try:
            fused = model.student.fuse(self.ir, self.vis).float()
        finally:
            model.student.train(training)
        gaps = {name: (fused - teacher).abs().mean().item() for name, teacher in self.teachers.items()}
        return self.scorer(fused), gaps


def _centre(image: Tensor, size: int) -> Tensor:
    top, left = ((s - size) // 2 for s in image.shape[-2:])
    return image[..., top : top + size, left : left + size]


def _all_infos(dataset: object) -> Sequence[dict]:
    if hasattr(dataset, 'datasets'):  # a concatenation
        return [info for part in dataset.datasets for info in _all_infos(part)]
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def _identity(info: dict) -> str:
    return str(Path(info['ir_path']).resolve()) if 'ir_path' in info else info['name']
