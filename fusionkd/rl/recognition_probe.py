"""The fixed images on which an agent measures a recogniser."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import Dataset

from fusionkd.evaluation.recognition import expected_calibration_error, negative_log_likelihood, top_k_accuracy
from fusionkd.registry import DATASETS, PROBES
from fusionkd.rl.probe import Reading


@PROBES.register_module()
class RecognitionProbe:
    """A few images with labels that are never trained on and never tested on: :class:`fusionkd.rl.probe.Probe` for classes.

    The score is ``exp(-nll)``, the geometric mean of the probabilities of the true classes, in [0, 1]: it moves with every
    update where accuracy on few images stands still, and confident errors lower it.

    Args:
        dataset: config of a set with labels. Its pipeline must load and pack and nothing random.
        num: images, spread evenly over the dataset. Default 64.
        averaged: measure the averaged weights where a :class:`StudentEMAHook` keeps them. Default True.
    """

    def __init__(self, dataset: dict, num: int = 64, averaged: bool = True):
        self.config = dataset
        self.num = num
        self.averaged = averaged
        self.teacher_scores: dict[str, dict[str, float]] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """Where the images are from.

        Raises:
            ValueError: it has fewer images than asked for.
        """
        dataset = DATASETS.build(self.config)
        if len(dataset) < self.num:
            raise ValueError(f'the probe set has {len(dataset)} images, {self.num} were asked for; lower num')
        return dataset

    @property
    def indices(self) -> list[int]:
        """Positions of the images in :attr:`dataset`."""
        return np.linspace(0, len(self.dataset) - 1, self.num).round().astype(int).tolist()

    def check_disjoint(self, other: Dataset, what: str) -> None:
        """Refuse images that the run trains or tests on.

        Raises:
            ValueError: at least one image is in both.
        """
        mine = {_file(self.dataset, i) for i in self.indices}
        shared = sorted(mine & {_file(other, i) for i in range(len(other))})
        if shared:
            raise ValueError(
                f'{len(shared)} probe images are also {what} images, such as {shared[0]}: the agent would be paid for '
                "memory. Give the probe its own part of the data (part='val')"
            )

    def load(self, model: nn.Module) -> None:
        """Read the images, and score the teacher once."""
        data = model.data_preprocessor(pseudo_collate([self.dataset[i] for i in self.indices]))
        self.image, self.labels = data['inputs']['image'], model.student.labels(data['data_samples']).cpu()
        self.teachers = {name: _logits(teacher, self.image) for name, teacher in model.teachers.items()}
        self.teacher_scores = {name: self._score(logits) for name, logits in self.teachers.items()}

    def measure(self, student: nn.Module) -> tuple[dict[str, float], dict[str, float]]:
        """Score of the student now, and its distance to the teacher.

        Returns:
            ``score``, ``top1`` and ``ece``, all in [0, 1]; and by teacher the mean total variation of the predictions, in
            [0, 1].
        """
        logits = _logits(student, self.image)
        p = logits.softmax(1)
        gaps = {name: (p - t.softmax(1)).abs().sum(1).mean().item() / 2 for name, t in self.teachers.items()}
        return self._score(logits), gaps

    def prepare(self, reading: Reading, model: nn.Module) -> None:
        """There are no readings of recognition.

        Raises:
            ValueError: always; the message says which observations need none.
        """
        raise ValueError(
            f'a recogniser has no reading {reading.what!r}; observations without readings: StudentPerformance, TeacherGap, '
            'TermLosses, Progress, LastAction'
        )

    def _score(self, logits: Tensor) -> dict[str, float]:
        return dict(
            score=float(np.exp(-negative_log_likelihood(logits, self.labels))),
            top1=top_k_accuracy(logits, self.labels),
            ece=expected_calibration_error(logits.softmax(1), self.labels),
        )


@torch.no_grad()
def _logits(network: nn.Module, image: Tensor) -> Tensor:
    training = network.training
    network.eval()
    try:
        return network(image).logits.float().cpu()
    finally:
        network.train(training)


def _file(dataset: Dataset, index: int) -> str:
    return str(Path(dataset.get_data_info(index)['image_path']).resolve())
