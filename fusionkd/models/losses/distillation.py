"""Losses on features of one place or channel at a time: what a student can learn from inside a teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.ops import resize
from fusionkd.registry import MODELS


def mean_square(difference: Tensor) -> Tensor:
    """Mean square of each sample: ``(N, ...)`` to ``(N,)``."""
    return difference.square().flatten(1).mean(1)


class AdapterLoss(nn.Module):
    """A feature loss with a 1 x 1 convolution that maps the student's channels to the teacher's.

    The adapter is trained with the student and is no part of the student's file.
    """

    def __init__(self):
        super().__init__()
        self.adapter: nn.Module | None = None

    def bind(self, channels_s: int, channels_t: int) -> None:
        """Build the adapter; the distiller calls this once the tapped layers are known."""
        self.adapter = nn.Conv2d(channels_s, channels_t, 1)

    def adapt(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """The student's features with the channels and the size of the teacher's."""
        return resize(self.adapter(feat_s), feat_t.shape[-2:])

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``, the mean of :meth:`per_sample`."""
        return self.per_sample(feat_s, feat_t).mean()

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        raise NotImplementedError


@MODELS.register_module()
class FeatureLoss(AdapterLoss):
    """Mean squared difference of features, >= 0, through an adapter (FitNets, Romero et al., ICLR 2015, eq. 3)."""

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)`` of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``; the student's map is resized to the teacher's."""
        return mean_square(self.adapt(feat_s, feat_t) - feat_t)


@MODELS.register_module()
class AttentionTransferLoss(nn.Module):
    """Squared distance of spatial attention, in [0, 2] (AT, Zagoruyko and Komodakis, ICLR 2017, eq. 2).

    Attention is ``sum over channels of |f|^power``, divided by its Euclidean norm over all places. Needs no adapter.

    Args:
        power: larger ones look at the strongest channels. Default 2, as in the paper.
    """

    def __init__(self, power: float = 2.0):
        super().__init__()
        if power <= 0:
            raise ValueError(f'power must be positive, got {power}')
        self.power = power

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``, the mean of :meth:`per_sample`."""
        return self.per_sample(feat_s, feat_t).mean()

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; the student's attention is resized to the teacher's."""
        attention_s, attention_t = (x.abs().pow(self.power).sum(1, keepdim=True) for x in (feat_s, feat_t))
        attention_s = resize(attention_s, attention_t.shape[-2:])
        student, teacher = (F.normalize(x.flatten(1), dim=1) for x in (attention_s, attention_t))
        return (student - teacher).square().sum(1)


@MODELS.register_module()
class ChannelWiseLoss(AdapterLoss):
    """Divergence of every channel's distribution over places, >= 0 (CWD, Shu et al., ICCV 2021, eq. 4 and 5).

    ``temperature^2 * mean over channels of KL(softmax(t / temperature) || softmax(s / temperature))``, softmax over places.

    Args:
        temperature: larger ones compare wider regions. Default 4, as in the paper.
    """

    def __init__(self, temperature: float = 4.0):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        self.temperature = temperature

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; the student's map goes through the adapter and is resized to the teacher's."""
        adapted = self.adapt(feat_s, feat_t)
        student, teacher = (F.log_softmax(x.flatten(2) / self.temperature, dim=2) for x in (adapted, feat_t))
        divergence = (teacher.exp() * (teacher - student)).sum(2)
        return self.temperature**2 * divergence.mean(1)


@MODELS.register_module()
class MaskedGenerativeLoss(AdapterLoss):
    """The teacher's features generated from the student's masked ones, >= 0 (MGD, Yang et al., ECCV 2022, eq. 4 to 6).

    Random places of the adapted student map are set to 0, and two 3 x 3 convolutions restore the teacher's whole map. The
    mean squared difference replaces the paper's sum. Masks come from a generator of its own, whose state is in the
    training checkpoint; the convolutions are no part of the student's file.

    Args:
        ratio: share of places that are masked, in [0, 1). Default 0.65, the paper's for detectors.
        seed: of the masks. Default 0.
    """

    def __init__(self, ratio: float = 0.65, seed: int = 0):
        super().__init__()
        if not 0 <= ratio < 1:
            raise ValueError(f'ratio must be in [0, 1), got {ratio}')
        self.ratio = ratio
        self.generator = torch.Generator().manual_seed(seed)

    def bind(self, channels_s: int, channels_t: int) -> None:
        """Build adapter and generation block."""
        super().bind(channels_s, channels_t)
        self.generation = nn.Sequential(
            nn.Conv2d(channels_t, channels_t, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_t, channels_t, 3, padding=1),
        )

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; the student's map goes through the adapter and is resized to the teacher's."""
        adapted = self.adapt(feat_s, feat_t)
        n, _, h, w = adapted.shape
        kept = torch.rand(n, 1, h, w, generator=self.generator) >= self.ratio
        return mean_square(self.generation(adapted * kept.to(adapted)) - feat_t)

    def get_extra_state(self) -> Tensor:
        """State of the random generator, for the training checkpoint."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on drawing where the checkpoint stopped."""
        self.generator.set_state(state.cpu())


@MODELS.register_module()
class MarginLoss(AdapterLoss):
    """Partial distance to margin-rectified features, >= 0 (overhaul of feature distillation, Heo et al., ICCV 2019).

    The target is ``max(t, m)``, m the mean of the negative responses of each of the teacher's channels, and a place counts
    nothing where ``s <= target <= 0``: whether a unit is silent matters, not how silent (eq. 2 to 4). Tap layers before
    their ReLU. The paper takes m from batch norm, which a fusion network may not have; here it is the average over the
    batches seen in training, kept in the training checkpoint. The mean replaces the paper's sum. The adapter has a batch
    norm, as in the paper.
    """

    def bind(self, channels_s: int, channels_t: int) -> None:
        """Build the adapter and the margins."""
        self.adapter = nn.Sequential(nn.Conv2d(channels_s, channels_t, 1, bias=False), nn.BatchNorm2d(channels_t))
        self.register_buffer('negative_sum', torch.zeros(channels_t))
        self.register_buffer('negative_count', torch.zeros(channels_t))

    @property
    def margin(self) -> Tensor:
        """``(C_t,)``, at most 0; 0 for channels that were never negative."""
        return self.negative_sum / self.negative_count.clamp(min=1e-12)

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; the student's map goes through the adapter and is resized to the teacher's."""
        if self.training:
            negative = feat_t.clamp(max=0)
            # Shares of a batch, not pixels: counts would soon exceed what float32 can add to.
            self.negative_sum += negative.mean((0, 2, 3))
            self.negative_count += (negative < 0).float().mean((0, 2, 3))
        target = torch.maximum(feat_t, self.margin.view(1, -1, 1, 1))
        adapted = self.adapt(feat_s, feat_t)
        ignored = (adapted <= target) & (target <= 0)
        return mean_square((adapted - target).masked_fill(ignored, 0.0))
