"""Structural similarity as a loss."""

import torch
from torch import Tensor, nn

from fusionkd.ops import filter_separable, gaussian_kernel1d
from fusionkd.registry import MODELS

# Beyond this many sigmas a Gaussian tap is below 1e-6 of the centre: window 48 with sigma 1.5 is a 17-tap kernel.
_CUT = 5.4


def ssim(x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5, data_range: float = 1.0) -> Tensor:
    """Structural similarity of each pair (Wang et al., IEEE TIP 2004), Gaussian window, no padding.

    The Gaussian is applied separably, and taps that are numerically zero are cut off: the value is that of the dense
    window to 1e-6, at a fraction of the time.

    Args:
        x: ``(N, C, H, W)``.
        y: same shape.
        window: side of the square window in pixels. Default 11; paper B uses 48. An image smaller than the window uses
            a window of its own size.
        sigma: of the Gaussian in pixels. Default 1.5.
        data_range: largest minus smallest possible value. Default 1.

    Returns:
        ``(N,)`` in [-1, 1], means over channels and pixels; 1 for identical images.
    """
    h, w = x.shape[-2:]
    window = min(window, h, w)
    radius = min(window // 2, round(_CUT * sigma))
    # The dense window is centred at index window // 2; cutting it moves where its valid area starts and ends.
    start, stop = window // 2 - radius, min(window // 2 + radius + 1, window)
    kernel = gaussian_kernel1d(window, sigma)[start:stop]
    area = (..., slice(start, h - (window - stop)), slice(start, w - (window - stop)))
    x, y = x[area], y[area]

    def blur(*maps: Tensor) -> tuple[Tensor, ...]:
        return filter_separable(torch.cat(maps, dim=1), kernel, padding='valid').split(x.shape[1], dim=1)

    mean_y, mean_yy = blur(y, y.square())  # apart from x: no gradient is needed here when y is a source or a teacher
    mean_x, mean_xx, mean_xy = blur(x, x.square(), x * y)
    square_x, square_y, product = mean_x.square(), mean_y.square(), mean_x * mean_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * product + c1) / (square_x + square_y + c1)
    structure = (2 * (mean_xy - product) + c2) / (mean_xx - square_x + mean_yy - square_y + c2)
    return (luminance * structure).mean((1, 2, 3))


@MODELS.register_module()
class SSIMLoss(nn.Module):
    """``1 - SSIM`` between the fused image and a target.

    Args:
        window: side of the Gaussian window in pixels. Default 11.
        sigma: in pixels. Default 1.5.
    """

    def __init__(self, window: int = 11, sigma: float = 1.5):
        super().__init__()
        self.window = window
        self.sigma = sigma

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 2] of two ``(N, C, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return 1 - ssim(fused, target, self.window, self.sigma)
