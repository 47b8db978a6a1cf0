"""The unsupervised fusion loss of paper B."""

import torch
from torch import Tensor, nn

from fusionkd.ops import luma, rgb_to_ycbcr
from fusionkd.registry import MODELS

from .gradient import joint_gradient_loss
from .pixel import mean_abs
from .ssim import ssim


@MODELS.register_module()
class FusionLoss(nn.Module):
    """HybridFusion's loss (arXiv 2602.20851), all five parts with the published weights and ranges.

    On images in [-1, 1], with A the visible, F the fused image and gray their luma::

        L = ssim * ((1 - SSIM(A, F)) + (1 - SSIM(ir, F_gray)))       window 48, Gaussian sigma 1.5, dynamic range 2
          + maximum * L1(F, the source that is brighter in the mean of its channels)
          + consistency * (L1(A_gray, F_gray) + 2 L1(ir, F_gray)) / 2
          + colour * (L1(Cb) + L1(Cr) between A and F)
          + gradient * (|Sobel F| to the larger of the sources, x and y)

    and the result is ``scale * L``. Inputs are in [0, 1] and mapped to [-1, 1] here. The colour part is zero for gray
    images; for colour ones (a term with ``space='rgb'``) it counts where the new luma drives a channel out of range.

    Args:
        ssim: weight of the two SSIM parts. Default 1.
        maximum: weight of the intensity part. Default 10.
        consistency: weight of the consistency part. Default 2.
        colour: weight of the colour part. Default 2.
        gradient: weight of the gradient part. Default 40; the paper's loss search prefers 32.
        window: SSIM window in pixels. Default 48.
        scale: of the sum. Default 0.1.
    """

    def __init__(
        self,
        ssim: float = 1.0,
        maximum: float = 10.0,
        consistency: float = 2.0,
        colour: float = 2.0,
        gradient: float = 40.0,
        window: int = 48,
        scale: float = 0.1,
    ):
        super().__init__()
        self.weights = dict(ssim=ssim, maximum=maximum, consistency=consistency, colour=colour, gradient=gradient)
        self.window = window
        self.scale = scale

    def parts(self, fused: Tensor, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """The parts before weighting, each ``(N,)``; arguments as in :meth:`forward`."""
        fused, ir, vis = (2 * x - 1 for x in (fused, ir, vis))
        fused_gray, vis_gray = luma(fused), luma(vis)
        ir_brighter = ir > vis.mean(dim=1, keepdim=True)
        parts = dict(
            ssim=2 - self._ssim(fused, vis) - self._ssim(fused_gray, ir),
            maximum=mean_abs(fused - torch.where(ir_brighter, ir, vis)),
            consistency=(mean_abs(fused_gray - vis_gray) + 2 * mean_abs(fused_gray - ir)) / 2,
            gradient=joint_gradient_loss(fused_gray, ir, vis_gray),
        )
        if fused.shape[1] == 3:
            chroma = (rgb_to_ycbcr(fused) - rgb_to_ycbcr(vis))[:, 1:]
            parts['colour'] = 2 * mean_abs(chroma)  # the mean over both planes is half the sum of their means
        return parts

    def forward(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """Weighted sum of :meth:`parts`, mean over the batch.

        Args:
            fused: ``(N, 1 or 3, H, W)`` in [0, 1].
            ir: ``(N, 1, H, W)`` in [0, 1].
            vis: shape and range of ``fused``.

        Returns:
            Scalar >= 0, the mean of :meth:`per_sample`.
        """
        return self.per_sample(fused, ir, vis).mean()

    def per_sample(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return self.scale * sum(self.weights[name] * part for name, part in self.parts(fused, ir, vis).items())

    def _ssim(self, x: Tensor, y: Tensor) -> Tensor:
        return ssim(x, y, self.window, sigma=1.5, data_range=2.0)
