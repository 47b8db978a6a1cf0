"""Losses on relations: how places or samples relate to each other. None needs an adapter."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS


def _embed(feat: Tensor, grid: int) -> Tensor:
    """One vector a sample: features averaged to ``grid x grid`` places."""
    return F.adaptive_avg_pool2d(feat, grid).flatten(1)


@MODELS.register_module()
class RelationLoss(nn.Module):
    """Mean squared difference of the cosine similarities between places (pair-wise part of Liu et al., CVPR 2019).

    Only how places of the image relate to each other is compared.

    Args:
        grid: features are averaged to ``grid x grid`` places first. Default 8.
    """

    def __init__(self, grid: int = 8):
        super().__init__()
        self.grid = grid

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar in [0, 4] of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``, the mean of :meth:`per_sample`."""
        return self.per_sample(feat_s, feat_t).mean()

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return (self._affinity(feat_s) - self._affinity(feat_t)).square().mean((1, 2))

    def _affinity(self, feat: Tensor) -> Tensor:
        places = F.normalize(F.adaptive_avg_pool2d(feat, self.grid).flatten(2), dim=1)
        return places.transpose(1, 2) @ places


@MODELS.register_module()
class SimilarityLoss(nn.Module):
    """Squared distance of the similarities between samples (SP, Tung and Mori, ICCV 2019, eq. 1 to 4).

    ``|G_s - G_t|_F^2 / N^2``, G the Gram matrix of the samples' features with rows of unit length. Features are averaged to
    ``grid x grid`` places first: maps of two sizes are then compared alike (not from the paper).

    Args:
        grid: Default 8.
    """

    def __init__(self, grid: int = 8):
        super().__init__()
        self.grid = grid

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar in [0, 4 / N] of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``; one sample alone gives 0."""
        return (self._similarity(feat_s) - self._similarity(feat_t)).square().mean()

    def _similarity(self, feat: Tensor) -> Tensor:
        embedding = _embed(feat, self.grid)
        return F.normalize(embedding @ embedding.T, dim=1)


@MODELS.register_module()
class RelationalLoss(nn.Module):
    """Distances and angles between samples (RKD, Park et al., CVPR 2019, eq. 4 to 11).

    ``distance * L_D + angle * L_A``, both Huber losses: L_D of the Euclidean distances of all pairs, divided by their mean;
    L_A of the cosines of the angles in all triplets. Features are averaged to ``grid x grid`` places first.

    Args:
        distance: weight of the pairs. Default 1.
        angle: weight of the triplets. Default 2, the paper's ratio.
        grid: Default 4.

    Raises:
        ValueError: a negative weight, or none above 0.
    """

    def __init__(self, distance: float = 1.0, angle: float = 2.0, grid: int = 4):
        super().__init__()
        if min(distance, angle) < 0 or distance + angle == 0:
            raise ValueError(f'weights must be at least 0 and one above, got distance={distance}, angle={angle}')
        self.distance = distance
        self.angle = angle
        self.grid = grid

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar >= 0 of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``; fewer than three give 0."""
        student, teacher = _embed(feat_s, self.grid), _embed(feat_t, self.grid)
        loss = student.sum() * 0
        if self.distance and len(student) > 1:
            loss = loss + self.distance * F.smooth_l1_loss(_distances(student), _distances(teacher))
        if self.angle and len(student) > 2:
            loss = loss + self.angle * F.smooth_l1_loss(_angles(student), _angles(teacher))
        return loss


def _distances(embedding: Tensor) -> Tensor:
    """Distances of all pairs, divided by their mean: ``(N (N - 1) / 2,)``."""
    distances = F.pdist(embedding)
    return distances / distances.mean().clamp(min=1e-12)


def _angles(embedding: Tensor) -> Tensor:
    """Cosine of the angle at j between i and k, of all i, j, k: ``(N, N, N)``, 0 where two are the same."""
    n = len(embedding)
    directions = embedding[None] - embedding[:, None]
    # A sample has no direction to itself; the square root has no gradient at 0.
    own = torch.eye(n, dtype=torch.bool, device=embedding.device)[..., None]
    directions = F.normalize(directions.masked_fill(own, 0.0), dim=2)
    return directions @ directions.transpose(1, 2)
