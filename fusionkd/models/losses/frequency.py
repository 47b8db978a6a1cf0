"""Losses on spatial frequencies: the spectrum and the bands of a Laplacian pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionkd.ops import laplacian_pyramid
from fusionkd.registry import MODELS

from .pixel import mean_abs


@MODELS.register_module()
class FrequencyLoss(nn.Module):
    """Focal frequency loss (Jiang et al., ICCV 2021, eq. 8 to 10): squared distance of the spectra, hard frequencies first.

    ``L = mean over frequencies of w |F(u, v) - T(u, v)|^2`` with the orthonormal Fourier transform and the weight
    ``w = |F - T|^alpha``, divided by its largest value in each channel and without gradient.

    Args:
        alpha: how much hard frequencies count more; 0 makes it the mean squared difference of the images. Default 1, as
            in the paper.

    Raises:
        ValueError: a negative ``alpha``.
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        if alpha < 0:
            raise ValueError(f'alpha must be at least 0, got {alpha}')
        self.alpha = alpha

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1] of two ``(N, C, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        spectrum = torch.fft.fft2(fused - target, norm='ortho')
        energy = spectrum.real.square() + spectrum.imag.square()
        if self.alpha == 0:
            return energy.flatten(1).mean(1)
        weight = energy.detach().pow(self.alpha / 2)
        weight = weight / weight.amax((2, 3), keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        return (weight * energy).flatten(1).mean(1)


@MODELS.register_module()
class LaplacianBandLoss(nn.Module):
    """Mean absolute difference in every band of a Laplacian pyramid (Lap1, Bojanowski et al., ICML 2018).

    Weights let a student follow a teacher in some bands only, such as its edges and not its brightness. The paper weighs
    level j with ``2^(2j)`` on sums over pixels, which is every band alike on means, the default here.

    Args:
        levels: detail bands, each half as large as the one before. Default 4.
        weights: of the bands, finest first, and of the base as the last: ``levels + 1`` numbers. Default 1 each.

    Raises:
        ValueError: another number of weights, a negative one, or none above 0.
    """

    def __init__(self, levels: int = 4, weights: Sequence[float] | None = None):
        super().__init__()
        self.levels = levels
        self.weights = [1.0] * (levels + 1) if weights is None else [float(w) for w in weights]
        if len(self.weights) != levels + 1 or min(self.weights) < 0 or not any(self.weights):
            raise ValueError(
                f'{levels} levels need {levels + 1} weights of at least 0, one of them above, finest first and the base '
                f'last; got {weights}'
            )

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar >= 0 of two ``(N, C, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        bands = laplacian_pyramid(fused - target, self.levels)  # the pyramid is linear
        return sum(w * mean_abs(band) for w, band in zip(self.weights, bands, strict=True) if w)
