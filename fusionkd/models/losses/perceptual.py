"""Perceptual guidance: fused images compared in the feature space of VGG-19 (paper A)."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from mmengine.logging import print_log
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from fusionkd.engine.checkpoint import read_checkpoint
from fusionkd.models.frozen import WithFrozen
from fusionkd.registry import MODELS

# Position of each convolution in torchvision's vgg19().features.
VGG19_LAYERS = dict(
    zip(
        [f'conv{block}_{i}' for block, n in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, n + 1)],
        [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
        strict=True,
    )
)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@MODELS.register_module()
class PerceptualLoss(WithFrozen):
    """Guidance loss of AgentFuse (arXiv 2509.02424): VGG-19 features of two fused images.

    ``L = sum over layers of mean((f(student) - f(teacher))^2)``, f the output of a convolution before its ReLU. The paper
    does not publish its layers or normalisation; the defaults conv2_1, conv3_1, conv4_2, the mean instead of a sum over
    elements and the ImageNet normalisation of a gray image repeated to RGB are ours.

    Args:
        layers: convolutions of VGG-19, such as ``'conv3_1'``.
        weights: ``'imagenet'`` (default) takes torchvision's weights, from its cache or by download, and falls back to
            random features with one warning when there is no network; a path loads such a file; ``None`` uses random
            features, always the same ones, and needs no network.
        seed: of the random features. Default 0.

    Raises:
        ValueError: an unknown layer or a file that is not VGG-19's.
    """

    def __init__(
        self,
        layers: tuple[str, ...] = ('conv2_1', 'conv3_1', 'conv4_2'),
        weights: str | None = 'imagenet',
        seed: int = 0,
    ):
        super().__init__()
        unknown = [name for name in layers if name not in VGG19_LAYERS]
        if unknown or not layers:
            raise ValueError(f'unknown VGG-19 layers {unknown}; known: {", ".join(VGG19_LAYERS)}')
        self.indices = sorted(VGG19_LAYERS[name] for name in layers)
        self.freeze('vgg', _vgg19(self.indices[-1] + 1, weights, seed))

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar >= 0 of two ``(N, 1 or 3, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`. No gradient reaches ``target``."""
        with torch.no_grad():
            target_features = self._features(target)
        pairs = zip(self._features(fused), target_features, strict=True)
        return sum((a - b).square().flatten(1).mean(1) for a, b in pairs)

    def _features(self, x: Tensor) -> list[Tensor]:
        mean, std = (torch.tensor(v, dtype=x.dtype, device=x.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        x = (x - mean) / std
        features = []
        for index, layer in enumerate(self.frozen['vgg']):
            x = layer(x)
            if index in self.indices:
                features.append(x)
        return features


def _vgg19(depth: int, weights: str | None, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vgg = make_layers(cfgs['E'])[:depth]
        for layer in vgg:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.ReLU):
                layer.inplace = False  # the convolutions before it are read
    state = _vgg19_state(weights)
    if state is None:
        print_log(f'PerceptualLoss: VGG-19 with random features of seed {seed}', logger='current')
        return vgg
    own = {k.removeprefix('features.'): v for k, v in state.items() if k.startswith('features.')}
    own = {k: v for k, v in own.items() if k in vgg.state_dict()}
    if own.keys() != vgg.state_dict().keys():
        raise ValueError(f'{weights} is not a VGG-19 of torchvision: it has no features.* keys of that network')
    vgg.load_state_dict(own)
    print_log(f'PerceptualLoss: VGG-19 with {weights} weights', logger='current')
    return vgg


def _vgg19_state(weights: str | None) -> dict[str, Tensor] | None:
    if weights is None:
        return None
    if weights != 'imagenet':
        return read_checkpoint(Path(weights))
    try:
        return torchvision.models.VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        print_log(
            f'PerceptualLoss: ImageNet weights of VGG-19 could not be downloaded ({error}); using random features. '
            'Set weights=None to ask for these, or weights=PATH to a downloaded file.',
            logger='current',
            level=30,
        )
        return None
