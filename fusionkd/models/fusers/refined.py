"""Fused images that are optimised one by one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS

from .base import BaseFuser

_SMALLEST = 41  # pixels that QualityLoss needs


@MODELS.register_module()
class RefinedFuser(BaseFuser):
    """The image of another fuser, moved along the gradient of a loss, one pair at a time (not from the papers).

    A network must guess from a pair what its fused image should be; a loss of ``(fused, ir, vis)`` says it, so the image
    itself can be optimised. It takes seconds, not milliseconds: for a teacher, for tables of what is left to be had, and for
    images that may take their time.

    What is added to the first image is a sum of maps, each at its own share of the resolution and enlarged bilinearly, all
    moved by Adam with steps that fall to 0 as half a cosine. Coarse maps let a large area change its brightness as one, which
    is what SCD asks for and takes single pixels many more steps.

    Images below 41 x 41 pixels, which the loss cannot take, are enlarged for it.

    The default loss is :class:`QualityLoss` with more weight for VIF, SCD, SSIM and artefacts than in training, chosen on
    validation pairs: see docs/lightweight.md.

    Args:
        fuser: config of the network of the first image, with its ``init_cfg``.
        loss: config of a loss of ``(fused, ir, vis)``, each ``(N, 1, H, W)`` in [0, 1]. Default as above.
        steps: of Adam. Default 40.
        lr: first step, in units of the full range. Default 0.004.
        scales: sides of a map's pixel, 1 for the image's own. Default (1, 4, 16, 64).

    Raises:
        ValueError: steps, rate or scales that are not above 0.

    Example:
        >>> import torch
        >>> fuser = RefinedFuser(dict(type='SwiftFuser', width=16, depth=1), steps=3)
        >>> fuser.predict(torch.rand(1, 48, 64), torch.rand(3, 48, 64)).shape
        torch.Size([3, 48, 64])
    """

    def __init__(
        self,
        fuser: dict,
        loss: dict | None = None,
        steps: int = 40,
        lr: float = 0.004,
        scales: Sequence[int] = (1, 4, 16, 64),
    ):
        network = MODELS.build(dict(fuser))
        super().__init__(network.init_cfg)
        if steps < 1 or lr <= 0 or not scales or min(scales) < 1:
            raise ValueError(f'steps, lr and scales must be above 0, got steps={steps}, lr={lr}, scales={scales}')
        self.network = network
        default = dict(type='QualityLoss', vif=1.6, vif_sum=2.2, qabf=6.0, scd=1.0, nabf=16.0, ssim_sum=1.0)
        self.loss: nn.Module = MODELS.build(dict(loss or default))
        self.steps, self.lr, self.scales = steps, lr, tuple(scales)

    def init_weights(self) -> None:
        """Initialise the network, from its checkpoint where its config names one."""
        self.network.init_weights()
        self._is_init = True

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma, see :class:`BaseFuser`; without a gradient to the network, in [0, 1].

        Raises:
            RuntimeError: in training; what is optimised is the image.
        """
        if self.training and torch.is_grad_enabled():
            raise RuntimeError(
                f'RefinedFuser optimises images and cannot be trained; train its network, '
                f'{type(self.network).__name__}, by itself'
            )
        # Tensors made in inference mode take no part in a gradient; copies do.
        with torch.inference_mode(False), torch.autocast(ir.device.type, enabled=False):
            ir, vis = (_enlarge(x.detach().clone().float()) for x in (ir, vis))
            with torch.no_grad():
                start = self.network.fuse(ir, vis).clamp(0, 1)
            with torch.enable_grad():
                fused = self._optimise(start, ir, vis)
        return fused

    def _optimise(self, start: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        size = start.shape[-2:]
        maps = [start.new_zeros(len(start), 1, *(-(-side // s) for side in size)) for s in self.scales]
        maps = [x.requires_grad_() for x in maps]
        optimiser = torch.optim.Adam(maps, self.lr, betas=(0.8, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for _ in range(self.steps):
            loss = self.loss(self._image(start, maps), ir, vis) * len(start)  # an image's share, whatever the batch
            for x, gradient in zip(maps, torch.autograd.grad(loss, maps), strict=True):
                x.grad = gradient
            optimiser.step()
            schedule.step()
        return self._image(start, maps).detach().clamp(0, 1)

    @staticmethod
    def _image(start: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """The first image and all maps."""
        for x in maps:
            if x.shape != start.shape:
                x = F.interpolate(x, size=start.shape[-2:], mode='bilinear', align_corners=False)  # noqa: PLW2901
            start = start + x
        return start


def _enlarge(x: Tensor) -> Tensor:
    """Repeat the last row and column up to the smallest size; ``fuse`` crops."""
    down, right = (max(_SMALLEST - side, 0) for side in x.shape[-2:])
    return F.pad(x, (0, right, 0, down), mode='replicate') if down or right else x
