"""Any timm encoder as a dense backbone."""

import difflib

import timm
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from fusionkd.registry import MODELS


@MODELS.register_module()
class TimmDense(nn.Module):
    """A timm encoder (``features_only``) under a feature-pyramid decoder; the decoder is not from a paper.

    Args:
        model_name: timm model that supports ``features_only``, such as ``'mobilenetv3_small_050'``.
        in_channels: input channels. Default 2: visible luma and infrared.
        out_channels: output channels. Default 2: mean and log-variance of the weight map.
        width: channels of the decoder. Default 32.
        pretrained: download timm's ImageNet weights; without a network, one warning and random weights. Default False.

    Shapes: ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``, H and W divisible by ``divisor``, the encoder's
    largest reduction.
    """

    def __init__(
        self,
        model_name: str,
        in_channels: int = 2,
        out_channels: int = 2,
        width: int = 32,
        pretrained: bool = False,
    ):
        super().__init__()
        self.encoder = _create_encoder(model_name, in_channels, pretrained)
        info = self.encoder.feature_info
        self.divisor = max(info.reduction())
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in info.channels())
        self.smooth = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True))
        self.out = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Dense prediction of ``x``."""
        features = [lateral(f) for lateral, f in zip(self.lateral, self.encoder(x), strict=True)]
        y = features.pop()
        for feature in reversed(features):
            y = feature + F.interpolate(y, size=feature.shape[-2:], mode='bilinear', align_corners=False)
        return F.interpolate(self.out(self.smooth(y)), size=x.shape[-2:], mode='bilinear', align_corners=False)


def _create_encoder(model_name: str, in_channels: int, pretrained: bool) -> nn.Module:
    if model_name not in timm.list_models():
        close = difflib.get_close_matches(model_name, timm.list_models(), n=5)
        raise ValueError(f'timm has no model {model_name!r}; similar: {", ".join(close) or "see timm.list_models()"}')
    options = dict(features_only=True, in_chans=in_channels)
    if pretrained:
        try:
            return timm.create_model(model_name, pretrained=True, **options)
        except Exception as error:  # timm raises whatever its hub client raises
            print_log(
                f'pretrained weights of {model_name} could not be loaded ({error}); random weights are in force',
                logger='current',
                level=30,
            )
    return timm.create_model(model_name, pretrained=False, **options)
