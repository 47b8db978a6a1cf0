"""WeightMapFuser: a network decides where, a fixed Laplacian pyramid fuses (paper B)."""

import torch
from torch import Tensor

from fusionkd.ops import blend_pyramids
from fusionkd.registry import MODELS

from .base import BaseFuser


@MODELS.register_module()
class WeightMapFuser(BaseFuser):
    """HybridFusion's fuser (arXiv 2602.20851): any dense backbone predicts the weight map of a fixed pyramid fusion.

    The backbone sees ``(vis, ir)`` in [-1, 1] and returns two channels: the mean of the infrared weight before a
    sigmoid, and its log-variance. The mean fuses; the log-variance is trained by :class:`WeightMapKLD` only, as in the
    paper, which offers sampling and advises against it.

    Args:
        backbone: config of a dense backbone, ``(N, 2, H, W)`` to ``(N, 2, H, W)``: :class:`UNet`, :class:`TimmDense`
            or a registered one of yours. An attribute ``divisor`` of it is respected.
        levels: detail levels of the pyramid. Default 4.
        init_cfg: see :class:`BaseFuser`.
    """

    def __init__(self, backbone: dict, levels: int = 4, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.levels = levels
        self.backbone = MODELS.build(backbone)
        self.divisor = getattr(self.backbone, 'divisor', 1)

    def logits(self, ir: Tensor, vis: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the infrared weight before the sigmoid, and log-variance, both ``(N, 1, H, W)``."""
        return self.backbone(torch.cat([vis, ir], dim=1) * 2 - 1).split(1, dim=1)

    def weight_map(self, ir: Tensor, vis: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the infrared weight in (0, 1), and log-variance, both ``(N, 1, H, W)``."""
        mean, logvar = self.logits(ir, vis)
        return torch.sigmoid(mean), logvar

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma, ``(N, 1, H, W)``, of ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1]."""
        weight, _ = self.weight_map(ir, vis)
        with torch.autocast(ir.device.type, enabled=False):  # images must not be rounded to bfloat16
            return blend_pyramids(ir.float(), vis.float(), weight.float(), self.levels)
