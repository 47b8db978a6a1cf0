"""Cluster centres of a teacher's features of the training set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn
from torch.utils.data import Dataset

from fusionkd.engine.checkpoint import fingerprint
from fusionkd.fileio import atomic_path


class ClusterBank:
    """Which centre each training image belongs to.

    Features are unit vectors minus their mean over the set: pooled features after a ReLU all point the same way, and what
    tells images apart is the rest. Not from the paper.

    Attributes:
        centres: ``(C, D)``, in that centred space.
        mean: ``(D,)``.
        assignment: index of the centre by name of the image.
    """

    def __init__(self, centres: Tensor, mean: Tensor, assignment: Mapping[str, int]):
        self.centres = centres
        self.mean = mean
        self.assignment = dict(assignment)

    def lookup(self, samples: Sequence) -> Tensor:
        """Centres of data samples, ``(N, D)``.

        Raises:
            KeyError: an image was not in the set that was clustered.
        """
        try:
            rows = [self.assignment[sample.metainfo['name']] for sample in samples]
        except KeyError as error:
            raise KeyError(
                f'image {error} was not clustered: the dataset of ClusterHook must hold all training images'
            ) from None
        return self.centres[rows]

    def centred(self, embedding: Tensor) -> Tensor:
        """Teacher's features ``(N, D)`` in the space of the centres."""
        return nn.functional.normalize(embedding, dim=-1) - self.mean.to(embedding)

    def to(self, device: torch.device | str) -> ClusterBank:
        """The same on a device."""
        return ClusterBank(self.centres.to(device), self.mean.to(device), self.assignment)

    def state_dict(self) -> dict:
        """Everything, in types that load with ``weights_only=True``."""
        names = list(self.assignment)
        rows = torch.tensor([self.assignment[name] for name in names])
        return dict(centres=self.centres.cpu(), mean=self.mean.cpu(), names=names, rows=rows)

    @classmethod
    def from_state(cls, state: Mapping) -> ClusterBank:
        """From :meth:`state_dict`."""
        return cls(state['centres'], state['mean'], dict(zip(state['names'], state['rows'].tolist(), strict=True)))


def fit_clusters(
    features: Tensor, names: Sequence[str], labels: Sequence[int] | None, k: int, seed: int = 0
) -> ClusterBank:
    """Cluster features by scikit-learn's k-means (k-means++, 4 starts).

    Args:
        features: ``(M, D)``.
        names: of the M images.
        labels: classes: k centres for each; or ``None``: k in all.
        k: number of centres, >= 1.
        seed: of the starts. Default 0.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: k below 1 or larger than the number of images (of a class).
    """
    try:
        from sklearn.cluster import KMeans  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ImportError("cluster centres need scikit-learn: pip install 'fusionkd[clip]'") from error
    if k < 1:
        raise ValueError(f'k must be 1 or more clusters, got {k}')
    if len(set(names)) < len(names):
        raise ValueError('two images share a name: the clusters could not be told apart')
    unit = nn.functional.normalize(features.double(), dim=-1)
    mean = unit.mean(0)
    points = (unit - mean).numpy()
    groups = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    centres, rows = [], np.empty(len(points), int)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        if k > len(mine):
            where = 'the set' if labels is None else f'class {group}'
            raise ValueError(f'k={k} clusters are more than the {len(mine)} images of {where}; lower k')
        found = KMeans(k, n_init=4, random_state=seed).fit(points[mine])
        rows[mine] = len(centres) + found.labels_
        centres += list(found.cluster_centers_)
    tensors = (torch.from_numpy(np.stack(centres)).float(), mean.float())
    return ClusterBank(*tensors, dict(zip(names, rows.tolist(), strict=True)))


def load_or_fit(
    teacher: nn.Module,
    preprocessor: BaseDataPreprocessor,
    dataset: Dataset,
    k: int,
    per_class: bool = True,
    seed: int = 0,
    folder: str | Path | None = 'work_dirs/cluster_cache',
    batch_size: int = 64,
    report: Callable[[str], None] = lambda text: None,
) -> ClusterBank:
    """Clusters of a data set, from disk if they were computed before.

    The file is named by a key of everything that decides the outcome: the teacher's type and weights; name, size and time of
    modification of every image; the dataset's pipeline; k, ``per_class`` and seed.

    Args:
        teacher: a recogniser.
        preprocessor: of its images.
        dataset: training images; its pipeline must load and pack and nothing random.
        k: number of centres, in all or for each class.
        per_class: whether for each class. Default True.
        seed: of k-means. Default 0.
        folder: for the files; ``None`` keeps nothing. Default ``'work_dirs/cluster_cache'``.
        batch_size: Default 64.
        report: called with a line about what is done.

    Raises:
        ValueError: ``per_class`` for images without labels, or k too large.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    if per_class and any('label' not in info for info in infos):
        raise ValueError('clusters per class need images with labels; set per_class=False')
    key = _key(teacher, dataset, infos, (k, per_class, seed))
    path = None if folder is None else Path(folder) / f'{key}.npz'
    if path is not None and path.is_file():
        report(f'cluster centres from {path}')
        with np.load(path, allow_pickle=False) as file:
            tensors = torch.from_numpy(file['centres']), torch.from_numpy(file['mean'])
            return ClusterBank(*tensors, dict(zip(file['names'].tolist(), file['rows'].tolist(), strict=True)))
    features = embed(teacher, preprocessor, dataset, batch_size)
    labels = [info['label'] for info in infos] if per_class else None
    bank = fit_clusters(features, [info['name'] for info in infos], labels, k, seed)
    report(f'{len(bank.centres)} cluster centres of {len(infos)} images')
    if path is not None:
        state = bank.state_dict()
        with atomic_path(path) as temporary:
            arrays = {key: np.asarray(value) for key, value in state.items()}
            np.savez(temporary, **arrays)
    return bank


@torch.no_grad()
def embed(teacher: nn.Module, preprocessor: BaseDataPreprocessor, dataset: Dataset, batch_size: int = 64) -> Tensor:
    """Embeddings of all images of a dataset by a recogniser, ``(M, D)``, on the CPU."""
    parts = []
    for begin in range(0, len(dataset), batch_size):
        items = [dataset[i] for i in range(begin, min(begin + batch_size, len(dataset)))]
        data = preprocessor(pseudo_collate(items))
        texts = [sample.get('text') for sample in data['data_samples']]
        parts.append(teacher(data['inputs']['image'], texts).embedding.float().cpu())
    return torch.cat(parts)


def _key(teacher: nn.Module, dataset: Dataset, infos: Sequence[Mapping], options: tuple) -> str:
    digest = hashlib.sha256(repr((fingerprint(teacher), options, _describe(dataset))).encode())
    for info in infos:
        stat = Path(info['image_path']).stat()
        digest.update(repr((info['name'], info.get('label'), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _describe(dataset: Dataset) -> list:
    """Names and plain options of the transforms."""
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return [(type(s).__name__, sorted((k, v) for k, v in vars(s).items() if not k.startswith('_'))) for s in steps]
