"""The fixed pairs on which an agent measures the student."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import Dataset

from fusionkd import hard_samples
from fusionkd.datasets.identity import pair_identities, pair_identity
from fusionkd.evaluation import METRICS, Scorer, evaluate, prepare_sources
from fusionkd.ops.crop import centre_crop
from fusionkd.registry import DATASETS, PROBES

if TYPE_CHECKING:
    from fusionkd.models.distillers import FusionDistiller

PROTOCOL = 'cddfuse'
_GRID = 16  # features are compared on this many rows and columns
_GRADIENT_PAIRS = 4


@dataclass(frozen=True)
class Reading:
    """Something measured on the probe set that not every run needs.

    Attributes:
        what: ``'metrics'`` of the protocol, ``'degraded'`` (the balanced score on degraded pairs), ``'features'``
            (distance to the teachers at taps) or ``'alignment'`` (of gradients).
        options: metric names, or the paths of the taps in student and teacher.
        every: decisions from one measurement to the next; in between the last value stands. Default 1.
    """

    what: str
    options: tuple[str, ...] = ()
    every: int = 1

    @property
    def key(self) -> str:
        """What tells it from the others of a run."""
        return ':'.join((self.what, *self.options))


def merge_readings(readings: Sequence[Reading]) -> list[Reading]:
    """Readings without repetitions, each as often as whoever wants it most often.

    Raises:
        ValueError: ``every`` below 1.
    """
    merged: dict[str, Reading] = {}
    for reading in readings:
        if reading.every < 1:
            raise ValueError(f'{reading.key}: every={reading.every}; expected 1 or more decisions')
        if reading.key not in merged or reading.every < merged[reading.key].every:
            merged[reading.key] = reading
    return list(merged.values())


@PROBES.register_module()
class Probe:
    """A few pairs, cut to one size, that are never trained on and never tested on.

    Args:
        dataset: config of a dataset. Its pipeline must load and pack and nothing random.
        num: pairs, spread evenly over the dataset. Default 8.
        size: side of the central square that is used, in pixels; smaller images limit it. Default 192.
        degraded: ``dict(ops, strength)`` for readings of generalisation: each pair is degraded once by one of the
            operations in turn, at this strength in [0, 1] (default 0.6). Training may not use any of them.
        averaged: measure the averaged weights where a :class:`StudentEMAHook` keeps them: their score is far less noisy.
            Default True.

    The dataset is built when a training starts, so that testing a student does not need it.
    """

    def __init__(
        self, dataset: dict, num: int = 8, size: int = 192, degraded: dict | None = None, averaged: bool = True
    ):
        self.config = dataset
        self.num = num
        self.size = size
        self.averaged = averaged
        self.degradation = _Degradation(**degraded) if degraded else None

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

    @property
    def identities(self) -> set[str]:
        """What the pairs are known by, see :func:`pair_identity`."""
        return {pair_identity(self.dataset.get_data_info(i)) for i in self.indices}

    def check_disjoint(self, other: object, what: str) -> None:
        """Refuse pairs that the run trains or tests on.

        Args:
            other: dataset to compare with; sets without files on disk are compared by name.
            what: its role, for the message.

        Raises:
            ValueError: at least one pair is in both.
        """
        shared = sorted(self.identities & pair_identities(other))
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
            item['inputs'] = {key: centre_crop(image, size) for key, image in item['inputs'].items()}
        self.inputs = model.data_preprocessor(pseudo_collate(items))['inputs']
        self.ir, self.vis = self.inputs['ir'], self.inputs['vis']
        self.scorer = Scorer(self.ir, self.vis)
        self._prepared: dict[str, object] = {}
        with torch.no_grad():
            # An average of the student is no other network to come closer to.
            teachers = {name: t for name, t in model.teachers.items() if name not in model.averages}
            self.teachers = {name: t.fuse(self.ir, self.vis).float() for name, t in teachers.items()}
        self.teacher_scores = {name: self.scorer(fused) for name, fused in self.teachers.items()}

    def measure(self, student: nn.Module) -> tuple[dict[str, float], dict[str, float]]:
        """Score of the student now, and its distance to each teacher.

        Returns:
            ``Scorer``'s values of the student, means over the pairs; and by teacher the mean absolute difference of the
            fused images, in [0, 1].
        """
        self._fused = _fuse(student, self.ir, self.vis)
        gaps = {name: (self._fused - teacher).abs().mean().item() for name, teacher in self.teachers.items()}
        return self.scorer(self._fused), gaps

    def prepare(self, reading: Reading, model: FusionDistiller) -> None:
        """Do once what a reading needs, after :meth:`load`.

        Raises:
            ValueError: unknown metrics, a tap that no network has, or no ``degraded`` operations, or some that training
                uses.
        """
        self._prepared[reading.key] = _READINGS[reading.what].prepare(self, reading, model)

    def read(self, reading: Reading, model: FusionDistiller, student: nn.Module) -> dict[str, float]:
        """Take a prepared reading; :meth:`measure` comes first.

        Args:
            reading: what to measure.
            model: the distiller.
            student: the network measured, the distiller's or its average.
        """
        return _READINGS[reading.what].read(self, self._prepared[reading.key], model, student)

    def _prepare_metrics(self, reading: Reading, model: FusionDistiller) -> object:
        return prepare_sources(self.ir, self.vis, PROTOCOL, reading.options, data_range=1)

    def _read_metrics(self, sources: object, model: FusionDistiller, student: nn.Module) -> dict[str, float]:
        values = evaluate(None, None, self._fused.clamp(0, 1), PROTOCOL, None, 1, sources)
        return {name: float(value.nanmean().nan_to_num(0.0)) for name, value in values.items()}

    def _prepare_degraded(self, reading: Reading, model: FusionDistiller) -> tuple[Tensor, Tensor]:
        if self.degradation is None:
            raise ValueError('generalisation is measured on degraded pairs: give the probe degraded=dict(ops=[...])')
        self.degradation.check_unseen(getattr(model.hard_samples, 'ops', ()))
        return self.degradation(self.ir, self.vis)

    def _read_degraded(self, pair: tuple, model: FusionDistiller, student: nn.Module) -> dict[str, float]:
        return self.scorer(_fuse(student, *pair))

    def _prepare_features(self, reading: Reading, model: FusionDistiller) -> tuple[str, dict[str, Tensor]]:
        path_s, path_t = reading.options
        _find(model.student, path_s, 'student')
        if not self.teachers:
            raise ValueError('a gap in feature space needs a teacher')
        features = {}
        for name in self.teachers:
            teacher = model.teachers[name]
            _find(teacher, path_t, f'teacher {name!r}')
            features[name] = _features(teacher, path_t, self.ir, self.vis)
        return path_s, features

    def _read_features(self, prepared: tuple, model: FusionDistiller, student: nn.Module) -> dict[str, float]:
        path, teachers = prepared
        own = _features(student, path, self.ir, self.vis)
        return {name: 1 - linear_cka(own, features) for name, features in teachers.items()}

    def _read_alignment(self, prepared: None, model: FusionDistiller, student: nn.Module) -> dict[str, float]:
        few = {key: None if value is None else value[:_GRADIENT_PAIRS] for key, value in self.inputs.items()}
        cosine = model.gradient_alignment(few)
        return dict(cosine=0.0 if cosine is None else float(cosine))


@dataclass(frozen=True)
class _Kind:
    """How a reading is prepared and taken."""

    prepare: Callable
    read: Callable


_READINGS: Mapping[str, _Kind] = {
    'metrics': _Kind(Probe._prepare_metrics, Probe._read_metrics),
    'degraded': _Kind(Probe._prepare_degraded, Probe._read_degraded),
    'features': _Kind(Probe._prepare_features, Probe._read_features),
    'alignment': _Kind(lambda *_: None, Probe._read_alignment),
}


class _Degradation:
    """Fixed degradations of the probe pairs, one operation a pair, in turn."""

    def __init__(self, ops: Sequence[str], strength: float = 0.6):
        if not ops or not 0 < strength <= 1:
            raise ValueError(f'degraded needs operations and a strength in (0, 1], got {list(ops)} and {strength}')
        self.ops, self.strength = tuple(ops), strength

    def check_unseen(self, trained: Sequence[str]) -> None:
        """Refuse operations that training uses."""
        shared = sorted(set(self.ops) & set(trained))
        if shared:
            raise ValueError(
                f'the probe is degraded by {shared}, which training uses as hard samples: that measures no '
                'generalisation. Give it other operations'
            )

    def __call__(self, ir: Tensor, vis: Tensor) -> tuple[Tensor, Tensor]:
        """Degraded versions of ``(N, 1, H, W)`` pairs, always the same."""
        pairs = [
            hard_samples.degrade_pair(ir[i : i + 1], vis[i : i + 1], self.ops[i % len(self.ops)], self.strength, i)
            for i in range(len(ir))
        ]
        return tuple(torch.cat(images) for images in zip(*pairs, strict=True))


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of two sets of features (Kornblith et al., ICML 2019, equation 3 in its feature form).

    Args:
        x: ``(n, p)``.
        y: ``(n, q)``, of the same n examples.

    Returns:
        In [0, 1]: 1 where one is a rotation and scaling of the other; 0 where one does not vary.
    """
    x, y = (z.double() - z.double().mean(0) for z in (x, y))
    scale = (x.T @ x).norm() * (y.T @ y).norm()
    return float((y.T @ x).square().sum() / scale) if scale > 0 else 0.0


def check_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if all are metrics.

    Raises:
        ValueError: none, or unknown ones; the message lists the known ones.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ValueError(f'unknown metrics {unknown}; known: {", ".join(METRICS)}')
    return tuple(names)


@torch.no_grad()
def _fuse(network: nn.Module, ir: Tensor, vis: Tensor) -> Tensor:
    training = network.training
    network.eval()
    try:
        return network.fuse(ir, vis).float()
    finally:
        network.train(training)


def _features(network: nn.Module, path: str, ir: Tensor, vis: Tensor) -> Tensor:
    """Output of a module on a common grid, ``(N * positions, C)``."""
    kept: list[Tensor] = []
    handle = network.get_submodule(path).register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        _fuse(network, ir, vis)
    finally:
        handle.remove()
    grid = F.adaptive_avg_pool2d(kept[-1].float(), _GRID)
    return grid.flatten(2).transpose(1, 2).flatten(0, 1)


def _find(network: nn.Module, path: str, owner: str) -> None:
    names = [name for name, _ in network.named_modules() if name]
    if path not in names:
        raise ValueError(f'the {owner} has no module {path!r} to tap; some of its modules: {", ".join(names[:30])}')
