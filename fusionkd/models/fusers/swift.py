"""SwiftFuser, the network of our students and of our teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fusionkd.registry import MODELS

from .base import BaseFuser

_SURROUND = 16  # pixels of the local mean that detail is measured from
_FAINT = 0.02  # detail of this size is compressed to one half: five grey levels
_CONTEXT = 4  # how much coarser the context is
_SHARE = 0.8  # of either detail, before anything is learnt


def _conv_bn(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _bilinear(factor: int) -> Tensor:
    """Kernels, ``(factor^2, 1, 3, 3)``, that interpolate between the middles of cells, one for every pixel of a cell."""
    offset = (torch.arange(factor) + 0.5) / factor - 0.5
    line = torch.stack([(-offset).relu(), 1 - offset.abs(), offset.relu()], dim=1)
    return torch.einsum('iy,jx->ijyx', line, line).reshape(factor**2, 1, 3, 3)


class PlainBlock(nn.Module):
    """``ReLU(BN(conv 3 x 3) + BN(x))`` in training, one 3 x 3 convolution and a ReLU when merged.

    The identity branch of RepVGG (Ding et al., CVPR 2021), without its 1 x 1 branch.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = _conv_bn(channels, channels)
        self.identity = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same shape."""
        return F.relu(self.conv(x) + self.identity(x), inplace=True)

    @torch.no_grad()
    def merged(self) -> nn.Sequential:
        """The same function of evaluation mode as one convolution."""
        conv, norm = fuse_conv_bn_eval(*self.conv), self.identity
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        diagonal = torch.arange(len(scale), device=scale.device)
        conv.weight[diagonal, diagonal, 1, 1] += scale
        conv.bias += norm.bias - norm.running_mean * scale
        return nn.Sequential(conv, nn.ReLU(inplace=True))


class DepthwiseBlock(nn.Module):
    """``x + ReLU(BN(conv 1 x 1(BN(depthwise conv 3 x 3))))``.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.spatial = _conv_bn(channels, channels, groups=channels)
        self.mix = nn.Sequential(*_conv_bn(channels, channels, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same shape."""
        return x + self.mix(self.spatial(x))


class ShareConv(nn.Conv2d):
    """The last layer, 1 x 1: how much of both details every pixel of a cell gets, and its correction.

    Corrections are multiplied by a constant, so that they learn in smaller steps: an optimiser that moves all weights alike
    (Adam, Muon) moves all outputs alike.

    Args:
        in_channels: of the convolution.
        cell: pixels of a cell.
        correction: the constant.
    """

    def __init__(self, in_channels: int, cell: int, correction: float):
        super().__init__(in_channels, 3 * cell, 1)
        # saved: weights mean nothing without it
        self.register_buffer('scale', torch.tensor([1.0] * (2 * cell) + [correction] * cell))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, in_channels, H, W)`` to shares, ``(N, 2 cell, H, W)``, and corrections, ``(N, cell, H, W)``, in float32."""
        cell = self.out_channels // 3
        shares, correction = F.conv2d(x, *self._scaled()).float().split((2 * cell, cell), dim=1)
        return _SHARE + shares, correction

    @torch.no_grad()
    def merged(self) -> 'MergedShareConv':
        """The same function as two plain convolutions."""
        weight, bias = self._scaled()
        cell = self.out_channels // 3
        bias[: 2 * cell] += _SHARE
        convs = []
        for part in (slice(0, 2 * cell), slice(2 * cell, None)):
            conv = nn.Conv2d(self.in_channels, len(bias[part]), 1, device=weight.device)
            conv.weight.copy_(weight[part])
            conv.bias.copy_(bias[part])
            convs.append(conv)
        return MergedShareConv(*convs)

    def _scaled(self) -> tuple[Tensor, Tensor]:
        return self.weight * self.scale[:, None, None, None], self.bias * self.scale


class MergedShareConv(nn.Module):
    """:class:`ShareConv` for inference, without splitting what a convolution has just joined.

    Args:
        shares: its outputs are the shares.
        correction: its outputs are the corrections.
    """

    def __init__(self, shares: nn.Conv2d, correction: nn.Conv2d):
        super().__init__()
        self.shares, self.correction = shares, correction

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`ShareConv.forward`."""
        return self.shares(x).float(), self.correction(x).float()


BLOCKS = {'plain': PlainBlock, 'depthwise': DepthwiseBlock}


@MODELS.register_module()
class SwiftFuser(BaseFuser):
    r"""Detail and base fuser that computes at a fraction of the resolution and decides for every pixel (not from a paper).

    Each source is split into the local mean :math:`m` of 16 pixels and the detail :math:`d` around it. A network predicts
    how much of either detail every pixel gets, how the means are mixed, and a correction:

    .. math:: F = (0.8 + a) d_{ir} + (0.8 + b) d_{vis} + m_{vis} + \sigma(10 s (m_{ir} - m_{vis})) (m_{ir} - m_{vis}) + k c

    It starts from ``a = b = c = 0``, which is a sound fusion already. All layers run at ``1 / factor`` of the resolution on
    the ``factor ** 2`` pixels of a cell as channels (pixel unshuffle), so that no pixel is lost and no map is upsampled:
    halos come from coarse weight maps. The network sees the detail compressed, ``d / (|d| + 0.02)``, with its mean strength
    and the local means: metrics and eyes see contrast relative to its surroundings, and a night image has little of it.

    Cells must not show: local means, their mixture, and the mean of ``c`` over a cell are interpolated to the pixels.

    ``k`` keeps the correction quiet. Optimisers move all weights of the last layer alike, while ``a`` and ``b`` multiply a
    detail, which is mostly faint, and ``c`` is added to the image as it is: with ``k = 1`` it is noise for most of a
    training. It is saved with the weights, and loading them restores it.

    Args:
        width: channels. Default 16; multiples of 16 suit the vector units of CPUs.
        depth: blocks before the context is added; one follows. Default 2.
        context: blocks at a quarter of the working resolution. Default 2.
        context_width: channels there. Default ``width``.
        factor: side of a cell in pixels, 2, 4 or 8. Default 4.
        block: ``'plain'``, a 3 x 3 convolution with an identity branch that merges into it, or ``'depthwise'``.
        stem: side of the first kernel. Default 3.
        correction: ``k``, above 0. Default 0.05. 1 costs .03 of VIF after a minute of training.
        init_cfg: see :class:`BaseFuser`.

    Raises:
        ValueError: an unknown block or factor, or a correction of 0 or less.
    """

    def __init__(
        self,
        width: int = 16,
        depth: int = 2,
        context: int = 2,
        context_width: int | None = None,
        factor: int = 4,
        block: str = 'plain',
        stem: int = 3,
        correction: float = 0.05,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if block not in BLOCKS or factor not in (2, 4, 8):
            raise ValueError(f'block={block!r}, factor={factor}; known: {", ".join(BLOCKS)}; 2, 4, 8')
        if not correction > 0:
            raise ValueError(f'correction must be above 0, got {correction}: with 0 the last layer could not learn it')
        self.factor = factor
        self.divisor = max(_SURROUND, factor * _CONTEXT)
        make, inner = BLOCKS[block], context_width or width
        cell = factor**2
        self.stem = _conv_bn(2 * cell, width, stem)
        self.stem_local = nn.Conv2d(4, width, 1, bias=False)
        self.body = nn.Sequential(*(make(width) for _ in range(depth)))
        self.context = nn.Sequential(
            *_conv_bn(width, inner, stride=2),
            nn.ReLU(inplace=True),
            *_conv_bn(inner, inner, stride=2),
            nn.ReLU(inplace=True),
            *(make(inner) for _ in range(context)),
            nn.Conv2d(inner, width, 1),
        )
        self.join = make(width)
        self.maps = ShareConv(width, cell, correction)
        self.slope = nn.Parameter(torch.tensor(2.0))
        self.register_buffer('between', _bilinear(factor))  # saved: weights that learnt without it are refused
        nn.init.zeros_(self.maps.weight)
        nn.init.zeros_(self.maps.bias)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma, ``(N, 1, H, W)``, of ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1]."""
        device = ir.device.type
        with torch.autocast(device, enabled=False):  # images must not be rounded to bfloat16
            pair = ir.float(), vis.float()
            means = self._local_means(torch.cat(pair, dim=1))
            mean_ir, mean_vis = means.split(1, dim=1)
            details = torch.cat(
                [
                    F.pixel_unshuffle(x, self.factor) - self._to_pixels(mean)
                    for x, mean in zip(pair, (mean_ir, mean_vis), strict=True)
                ],
                dim=1,
            )
            features = self._features(details, means)
        shares, correction = self._predict(*features)
        with torch.autocast(device, enabled=False):
            apart = mean_ir - mean_vis
            base = mean_vis + apart * torch.sigmoid(apart * (10 * self.slope))
            level = correction.mean(dim=1, keepdim=True)
            from_ir, from_vis = (shares * details).chunk(2, dim=1)
            fused = from_ir + from_vis + (correction - level) + self._to_pixels(base + level)
            return F.pixel_shuffle(fused, self.factor)

    def _local_means(self, pair: Tensor) -> Tensor:
        """Means of 16 x 16 pixels, interpolated to the cells: ``(N, 2, h, w)``."""
        scale = float(_SURROUND // self.factor)
        return F.interpolate(F.avg_pool2d(pair, _SURROUND), scale_factor=scale, mode='bilinear', align_corners=False)

    def _to_pixels(self, x: Tensor) -> Tensor:
        """One value a cell, ``(N, 1, h, w)``, interpolated to the pixels of the cells, ``(N, factor^2, h, w)``."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), self.between)

    def _features(self, details: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees, about in [-1, 1]: compressed details, ``(N, 2 factor^2, h, w)``, and four local features."""
        size = details.abs()
        strength = size.unflatten(1, (2, -1)).mean(2)
        return details / (size + _FAINT), torch.cat([means * 2 - 1, (strength + 0.004).log() * 0.5 + 1.5], dim=1)

    def _predict(self, compressed: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of both details and correction of every pixel, see :class:`ShareConv`."""
        # Apart from the stem: libraries pad its 2 factor^2 channels to a multiple of 16.
        x = self.body(F.relu(self.stem(compressed) + self.stem_local(local), inplace=True))
        context = F.interpolate(self.context(x), scale_factor=float(_CONTEXT), mode='bilinear', align_corners=False)
        return self.maps(self.join(x + context))
