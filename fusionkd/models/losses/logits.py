"""Losses of recognition: on logits, pooled features and boxes.

Logits are ``(N, ..., K)``: one choice between K options a sample, or several.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss

from fusionkd.registry import MODELS


def per_choice_mean(values: Tensor) -> Tensor:
    """``(N, ...)`` to the mean of each sample, ``(N,)``."""
    return values.flatten(1).mean(1) if values.ndim > 1 else values


def kl_divergence(target: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(target / T) || softmax(logits / T)) over the last dimension, in nats; ``(N, ..., K)`` to ``(N, ...)``."""
    teacher, student = ((x / temperature).log_softmax(-1) for x in (target, logits))
    return (teacher.exp() * (teacher - student)).sum(-1)


@MODELS.register_module()
class ClassLoss(nn.Module):
    """Cross entropy, >= 0, the task loss.

    Args:
        smoothing: share of the label that goes to all options alike, in [0, 1). Default 0.
    """

    def __init__(self, smoothing: float = 0.0):
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f'smoothing must be in [0, 1), got {smoothing}')
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar of ``(N, ..., K)`` and ``(N, ...)``, the mean of :meth:`per_sample`."""
        return self.per_sample(logits, labels).mean()

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(N,)``."""
        values = F.cross_entropy(logits.movedim(-1, 1), labels, reduction='none', label_smoothing=self.smoothing)
        return per_choice_mean(values)


@MODELS.register_module()
class KDLoss(nn.Module):
    """``T^2 KL(p_t || p_s)`` of softened predictions, >= 0 (Hinton et al., 2015, section 2).

    Args:
        temperature: T. Default 4.
    """

    def __init__(self, temperature: float = 4.0):
        super().__init__()
        self.temperature = _positive(temperature)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar of two ``(N, ..., K)``, the mean of :meth:`per_sample`."""
        return self.per_sample(logits, target).mean()

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """``(N,)``."""
        return self.temperature**2 * per_choice_mean(kl_divergence(target, logits, self.temperature))


@MODELS.register_module()
class DKDLoss(nn.Module):
    """Decoupled distillation, >= 0 (DKD, Zhao et al., CVPR 2022, equation 7).

    ``T^2 (alpha KL of (true class, all others) + beta KL among the others)``; KD is alpha = 1 and beta = the teacher's share
    of the others.

    Args:
        alpha: Default 1, the paper's.
        beta: Default 8, the paper's for CIFAR-100 and ResNets.
        temperature: T. Default 4, the paper's.
    """

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0):
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.temperature = _positive(temperature)

    def forward(self, logits: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Scalar of two ``(N, ..., K)`` and ``(N, ...)``, the mean of :meth:`per_sample`."""
        return self.per_sample(logits, target, labels).mean()

    def per_sample(self, logits: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """``(N,)``."""
        true = F.one_hot(labels, logits.shape[-1]).bool()
        parts = [self._split(x / self.temperature, true) for x in (target, logits)]
        (binary_t, others_t), (binary_s, others_s) = parts
        of_class = (binary_t.exp() * (binary_t - binary_s)).sum(-1)
        among = kl_divergence(others_t, others_s)
        return self.temperature**2 * per_choice_mean(self.alpha * of_class + self.beta * among)

    def _split(self, logits: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of (true, others), and the logits of the others."""
        log_p = logits.log_softmax(-1)
        own = log_p[true].view(true.shape[:-1])
        rest = log_p.masked_fill(true, -torch.inf).logsumexp(-1)
        return torch.stack([own, rest], -1), logits[~true].view(*true.shape[:-1], -1)


@MODELS.register_module()
class DISTLoss(nn.Module):
    """One minus Pearson's correlation, between classes and within each, in [0, 2 (inter + intra)] (DIST, Huang et al.,
    NeurIPS 2022, equations 7 and 9), times T^2 as in the authors' experiments with T > 1.

    Args:
        inter: weight of the correlation over the options of a sample. Default 1, the paper's for ImageNet.
        intra: weight of that over the samples for an option. Default 1.
        temperature: T. Default 1.
    """

    def __init__(self, inter: float = 1.0, intra: float = 1.0, temperature: float = 1.0):
        super().__init__()
        self.inter = inter
        self.intra = intra
        self.temperature = _positive(temperature)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar of two ``(N, ..., K)``."""
        student, teacher = ((x / self.temperature).softmax(-1) for x in (logits, target))
        inter = 1 - pearson(student, teacher, -1).mean()
        intra = 1 - pearson(student, teacher, 0).mean()
        return self.temperature**2 * (self.inter * inter + self.intra * intra)


def pearson(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """Pearson's correlation along a dimension, in [-1, 1]; 0 where one does not vary."""
    x, y = (z - z.mean(dim, keepdim=True) for z in (x, y))
    return F.cosine_similarity(x, y, dim=dim, eps=1e-8)


@MODELS.register_module()
class EmbeddingLoss(nn.Module):
    """Squared distance of unit vectors, in [0, 4]: the feature term of KDRL's first stage, ``|phi(f_s) - f_t|^2`` normalised.

    ``phi`` are the auxiliary heads of the student's blocks, so that the second stage finds them trained.
    """

    def forward(self, auxiliary: Tensor, embedding: Tensor) -> Tensor:
        """Scalar of ``(N, B, D)`` and ``(N, D)``, the mean of :meth:`per_sample`."""
        return self.per_sample(auxiliary, embedding).mean()

    def per_sample(self, auxiliary: Tensor, embedding: Tensor) -> Tensor:
        """``(N,)``, means over the blocks."""
        difference = F.normalize(auxiliary, dim=-1) - F.normalize(embedding, dim=-1)[:, None]
        return difference.square().sum(-1).mean(1)


@MODELS.register_module()
class GIoULoss(nn.Module):
    """One minus generalised intersection over union, in [0, 2] (Rezatofighi et al., CVPR 2019), through torchvision."""

    def forward(self, boxes: Tensor, true_boxes: Tensor) -> Tensor:
        """Scalar of two ``(N, 4)``, the mean of :meth:`per_sample`."""
        return self.per_sample(boxes, true_boxes).mean()

    def per_sample(self, boxes: Tensor, true_boxes: Tensor) -> Tensor:
        """``(N,)``."""
        return generalized_box_iou_loss(boxes, true_boxes)


def _positive(temperature: float) -> float:
    if temperature <= 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    return temperature
