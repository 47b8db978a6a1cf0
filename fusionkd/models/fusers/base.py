"""What every fuser shares: input checks, padding, colour, prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from fusionkd.engine.checkpoint import load_weights
from fusionkd.ops import merge_ycbcr, split_ycbcr


class BaseFuser(BaseModule):
    """A network that fuses an infrared and a visible image. Teachers and students are both fusers.

    Subclasses implement ``forward(ir, vis)``; everything else is here. A subclass whose network needs sizes divisible
    by some number sets the class attribute ``divisor``: images are padded by reflection and the result is cropped back.

    Args:
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` loads weights strictly, from a file, a URL or a name of
            the zoo; anything else is mmengine's weight initialisation.

    Example:
        >>> import torch
        >>> from fusionkd.models.fusers import BaseFuser
        >>> class Average(BaseFuser):
        ...     def forward(self, ir, vis):
        ...         return (ir + vis) / 2
        >>> Average().predict(torch.zeros(1, 1, 5, 7), torch.ones(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])
    """

    divisor: int = 1

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma of one batch.

        Args:
            ir: infrared, ``(N, 1, H, W)`` in [0, 1], H and W divisible by ``divisor``.
            vis: luma of the visible image, same shape and range.

        Returns:
            ``(N, 1, H, W)``, nominally in [0, 1].
        """
        raise NotImplementedError(f'{type(self).__name__} must implement forward(ir, vis)')

    def init_weights(self) -> None:
        """Initialise, or load ``init_cfg``'s checkpoint strictly (mmengine would skip keys that do not fit)."""
        cfg = self.init_cfg
        if isinstance(cfg, dict) and cfg.get('type') == 'Pretrained':
            load_weights(self, cfg['checkpoint'])
            self._is_init = True
            return
        super().init_weights()

    def fuse(self, ir: Tensor, vis: Tensor) -> Tensor:
        """:meth:`forward` for any size, differentiable: checks shapes, pads, calls, crops.

        Args:
            ir: ``(N, 1, H, W)`` in [0, 1].
            vis: same shape and range.

        Returns:
            ``(N, 1, H, W)``.

        Raises:
            ValueError: shapes that are not as above, of the input or of what ``forward`` returned.
        """
        if ir.ndim != 4 or ir.shape[1] != 1 or ir.shape != vis.shape:
            raise ValueError(
                f'{type(self).__name__} expects ir and vis as (N, 1, H, W) of one size, '
                f'got ir {tuple(ir.shape)} and vis {tuple(vis.shape)}'
            )
        h, w = ir.shape[-2:]
        fused = self(pad_to_divisor(ir, self.divisor), pad_to_divisor(vis, self.divisor))
        if fused.ndim != 4 or fused.shape[:2] != ir.shape[:2] or fused.shape[-2] < h or fused.shape[-1] < w:
            raise ValueError(
                f'{type(self).__name__}.forward returned shape {tuple(fused.shape)} for inputs of shape '
                f'{tuple(ir.shape)}: it must return the fused luma, (N, 1, H, W)'
            )
        return fused[..., :h, :w]

    @torch.no_grad()
    def predict(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse images of any size, gray or colour.

        Args:
            ir: ``(N, 1 or 3, H, W)`` or ``(1 or 3, H, W)``, float in [0, 1]; three channels are reduced to luma.
            vis: same size and range; colour keeps its chroma, and the fused luma replaces its luma.

        Returns:
            The shape of ``vis``, in [0, 1].

        Raises:
            ValueError: sizes that differ, other channel counts, values that are not finite or outside [0, 1].
        """
        single = ir.ndim == 3
        ir, vis = check_pair(ir, vis)
        device = next(self.parameters(), torch.empty(0)).device
        ir_y, (vis_y, cbcr) = split_ycbcr(ir.to(device))[0], split_ycbcr(vis.to(device))
        training = self.training
        self.eval()
        try:
            fused = merge_ycbcr(self.fuse(ir_y, vis_y).float(), cbcr)
        finally:
            self.train(training)
        return fused[0] if single else fused


def pad_to_divisor(x: Tensor, divisor: int) -> Tensor:
    """Pad ``(N, C, H, W)`` at the bottom and right to multiples of ``divisor``.

    Pads by reflection; a side too short to reflect repeats its edge.
    """
    for dim in (-1, -2):
        pad = -x.shape[dim] % divisor
        if pad:
            mode = 'reflect' if pad < x.shape[dim] else 'replicate'
            x = F.pad(x, (0, pad, 0, 0) if dim == -1 else (0, 0, 0, pad), mode=mode)
    return x


def check_pair(ir: Tensor, vis: Tensor) -> tuple[Tensor, Tensor]:
    """Validate one pair or batch for prediction and return both as ``(N, C, H, W)``.

    Raises:
        ValueError: names the image at fault, what was expected and what to do.
    """
    if ir.ndim != vis.ndim or ir.ndim not in (3, 4):
        raise ValueError(
            f'ir and vis must both be (C, H, W) or (N, C, H, W), got {tuple(ir.shape)} and {tuple(vis.shape)}'
        )
    if ir.ndim == 3:
        ir, vis = ir[None], vis[None]
    if ir.shape[0] != vis.shape[0] or ir.shape[-2:] != vis.shape[-2:]:
        raise ValueError(
            f'ir and vis differ in size: {tuple(ir.shape)} and {tuple(vis.shape)}; register and resize them first'
        )
    for name, x in (('ir', ir), ('vis', vis)):
        if x.shape[1] not in (1, 3):
            raise ValueError(f'{name} must have 1 or 3 channels, got {x.shape[1]} in shape {tuple(x.shape)}')
        if not x.is_floating_point():
            raise ValueError(f'{name} must be float in [0, 1], got {x.dtype}; divide by its largest value first')
        if not torch.isfinite(x).all():
            raise ValueError(f'{name} holds NaN or infinity; replace those pixels before fusing')
        low, high = x.min().item(), x.max().item()
        if low < -1e-6 or high > 1 + 1e-6:
            raise ValueError(f'{name} must be in [0, 1], found {low:.4g} to {high:.4g}; scale it first')
    return ir, vis
