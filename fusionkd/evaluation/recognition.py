"""Measures of recognition: pure functions on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou


def top_k_accuracy(logits: Tensor, labels: Tensor, k: int = 1) -> float:
    """Share of samples whose class is among the k largest logits, in [0, 1]; k beyond K counts as K.

    Args:
        logits: ``(N, K)``.
        labels: ``(N,)``.
        k: Default 1.
    """
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (best == labels[:, None]).any(1).double().mean().item()


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts ``(K, K)``: rows are the true classes, columns the predicted ones, both given as ``(N,)``."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def per_class_accuracy(confusion: Tensor) -> Tensor:
    """Share of every class that is recognised, ``(K,)``; nan for classes without samples."""
    return confusion.diagonal().double() / confusion.sum(1)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy, in [0, 1] (Guo et al., ICML 2017, equation 3).

    Args:
        probabilities: ``(N, K)``.
        labels: ``(N,)``.
        bins: of equal width, ``(low, high]``. Default 15, the paper's.
    """
    confidence, predicted = probabilities.double().max(1)
    right = (predicted == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, confidence - right)
    return (gaps.abs().sum() / len(labels)).item()


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> float:
    """Mean of minus the log-probability of the true class, in nats: a proper score of accuracy and calibration together."""
    return -logits.double().log_softmax(1).gather(1, labels[:, None]).mean().item()


def recall_at(similarity: Tensor, owner: Tensor, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Recall of retrieval both ways, in [0, 1].

    Args:
        similarity: ``(images, captions)``.
        owner: ``(captions,)``, index of the image that each caption belongs to; an image may have several.
        ks: Default 1, 5 and 10.

    Returns:
        ``i2t_R@k``: share of images with one of their captions among the k most similar; ``t2i_R@k``: share of captions
        whose image is among the k most similar.
    """
    images, captions = similarity.shape
    of_image = owner[similarity.argsort(dim=1, descending=True, stable=True)] == torch.arange(images)[:, None]
    of_caption = owner[:, None] == similarity.argsort(dim=0, descending=True, stable=True).T
    values = {}
    for direction, hits, most in (('i2t', of_image, captions), ('t2i', of_caption, images)):
        values |= {f'{direction}_R@{k}': hits[:, : min(k, most)].any(1).double().mean().item() for k in ks}
    return values


def grounding_precision(
    boxes: Tensor, true_boxes: Tensor, thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9)
) -> dict[str, float]:
    """Share of boxes that overlap the true ones enough, and the mean overlap, in [0, 1].

    Args:
        boxes: ``(N, 4)``, x1, y1, x2, y2.
        true_boxes: ``(N, 4)``, in the same unit.
        thresholds: of intersection over union; ``Pr@t`` counts boxes of t or more.

    Returns:
        ``Pr@t`` and ``mIoU``.
    """
    iou = torch.stack(
        [box_iou(a[None].double(), b[None].double())[0, 0] for a, b in zip(boxes, true_boxes, strict=True)]
    )
    return {f'Pr@{t}': (iou >= t - 1e-6).double().mean().item() for t in thresholds} | dict(mIoU=iou.mean().item())
