"""Measures of recognition inside mmengine's Runner. Each gives ``score``, the number that selects models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from fusionkd.fileio import atomic_path
from fusionkd.registry import METRICS

from .recognition import (
    confusion_matrix,
    expected_calibration_error,
    grounding_precision,
    negative_log_likelihood,
    per_class_accuracy,
    recall_at,
    top_k_accuracy,
)


class RecognitionMetric(BaseMetric):
    """Writes what subclasses measure as ``results.json`` and ``results.txt``.

    Args:
        out_dir: folder for the files. Default none.
        collect_device: mmengine's.
    """

    def __init__(self, out_dir: str | None = None, collect_device: str = 'cpu'):
        super().__init__(collect_device=collect_device)
        self.out_dir = out_dir

    def save(self, values: dict[str, float]) -> dict[str, float]:
        """Write the values and return them."""
        if self.out_dir is not None:
            folder = Path(self.out_dir)
            text = '\n'.join(f'{name:24s} {value:8.4f}' for name, value in values.items())
            for name, content in (('results.json', json.dumps(values, indent=1)), ('results.txt', text)):
                with atomic_path(folder / name) as temporary:
                    temporary.write_text(content + '\n', encoding='utf-8')
            print_log(f'results ({folder}/results.*):\n{text}', 'current')
        return values


@METRICS.register_module()
class ClassificationMetric(RecognitionMetric):
    """Top-1 and top-5 accuracy, accuracy of every class, calibration error and likelihood, each in its natural unit.

    Also zero-shot classification: what matters is that samples have ``logits`` and ``label``.

    Args:
        classes: names in the order of their labels. Default those of the evaluated set.
        bins: of the calibration error. Default 15.
        out_dir: folder for ``results.*`` and ``confusion.png``. Default none.
        collect_device: mmengine's.

    Returns ``top1``, ``top5``, ``ece``, ``nll``, ``class/<name>`` and ``score``, which is ``top1``.
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        bins: int = 15,
        out_dir: str | None = None,
        collect_device: str = 'cpu',
    ):
        super().__init__(out_dir, collect_device)
        self.classes = list(classes) if classes else None
        self.bins = bins

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep logits and labels."""
        for sample in data_samples:
            self.results.append(dict(logits=sample['logits'].cpu(), label=int(sample['label'])))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """All numbers.

        Raises:
            ValueError: a label beyond the classes that the network knows.
        """
        logits = torch.stack([r['logits'] for r in results])
        labels = torch.tensor([r['label'] for r in results])
        count = logits.shape[1]
        if int(labels.max()) >= count:
            raise ValueError(f'the set has a label {int(labels.max())}, the network {count} classes')
        names = self.classes or (self.dataset_meta or {}).get('classes') or [str(i) for i in range(count)]
        confusion = confusion_matrix(logits.argmax(1), labels, count)
        top1 = top_k_accuracy(logits, labels)
        values = dict(
            score=top1,
            top1=top1,
            top5=top_k_accuracy(logits, labels, 5),
            ece=expected_calibration_error(logits.softmax(1), labels, self.bins),
            nll=negative_log_likelihood(logits, labels),
        )
        values |= {f'class/{n}': v for n, v in zip(names, per_class_accuracy(confusion).tolist(), strict=True)}
        if self.out_dir is not None:
            plot_confusion(confusion.numpy(), names, Path(self.out_dir) / 'confusion.png')
        return self.save(values)


@METRICS.register_module()
class RetrievalMetric(RecognitionMetric):
    """R@1, R@5 and R@10 both ways over the whole set, and their mean, in [0, 1].

    Returns ``i2t_R@k``, ``t2i_R@k``, ``mR`` and ``score``, which is ``mR``.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the vectors."""
        for sample in data_samples:
            self.results.append(dict(image=sample['image_vector'].cpu(), text=sample['text_vectors'].cpu()))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """All numbers."""
        images = torch.stack([r['image'] for r in results])
        owner = torch.cat([torch.full((len(r['text']),), i) for i, r in enumerate(results)])
        recalls = recall_at(images @ torch.cat([r['text'] for r in results]).T, owner)
        mean = float(np.mean(list(recalls.values())))
        return self.save(dict(score=mean, mR=mean, **recalls))


@METRICS.register_module()
class GroundingMetric(RecognitionMetric):
    """Pr@0.5 to Pr@0.9 and mean intersection over union, in [0, 1].

    Returns ``Pr@t``, ``mIoU`` and ``score``, which is ``mIoU``.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the boxes."""
        for sample in data_samples:
            self.results.append(dict(box=sample['pred_box'].cpu(), true=sample['box'].cpu()))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """All numbers."""
        boxes, true = (torch.stack([r[key] for r in results]) for key in ('box', 'true'))
        values = grounding_precision(boxes, true)
        return self.save(dict(score=values['mIoU'], **values))


def plot_confusion(confusion: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Draw counts ``(K, K)``, rows true and columns predicted, coloured by their share of the row."""
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = max(0.45 * len(names) + 1.8, 4)
    figure = Figure(figsize=(side, side), layout='constrained')
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.imshow(share, cmap='Blues', vmin=0, vmax=1)
    if len(names) <= 30:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = 'white' if share[row, column] > 0.5 else '0.2'
                axis.text(column, row, str(count), ha='center', va='center', fontsize=7, color=colour)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlabel('predicted')
    axis.set_ylabel('true')
    axis.set_title(f'accuracy {confusion.trace() / confusion.sum():.3f}, {confusion.sum()} images', fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)
