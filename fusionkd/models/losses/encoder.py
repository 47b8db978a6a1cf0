"""Guidance in the feature space of a fusion network."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from fusionkd.models.frozen import WithFrozen
from fusionkd.registry import MODELS

from .distillation import mean_square


class _Seen(Exception):  # noqa: N818
    """All tapped modules have run; what follows them is not needed."""


@MODELS.register_module()
class EncoderLoss(WithFrozen):
    """Two fused images compared by the features that a frozen fusion network finds in them (not from a paper).

    A perceptual loss (see :class:`PerceptualLoss`) whose network is the teacher's own encoder: it needs no download and
    costs a fraction of VGG-19. Each image is given to the network as both of its sources. Layers after the last tapped
    one are not computed. In each tap the mean squared difference is divided by the mean square of the target's features,
    so that layers of any scale count alike.

    Args:
        encoder: config of a fuser, such as ``dict(type='SeAFusion', init_cfg=dict(type='Pretrained',
            checkpoint='seafusion'))``.
        taps: paths of its modules, such as ``('vis_rgbd1', 'vis_rgbd2')``.

    Raises:
        ValueError: no tap, a path that is no module, or a module whose output is not one ``(N, C, h, w)`` tensor.
    """

    def __init__(self, encoder: dict, taps: Sequence[str]):
        super().__init__()
        network = MODELS.build(encoder)
        if network.init_cfg:
            network.init_weights()
        modules = dict(network.named_modules())
        unknown = [path for path in taps if path not in modules or not path]
        if unknown or not taps:
            known = ', '.join([name for name in modules if name][:30])
            raise ValueError(f'{type(network).__name__} has no modules {unknown} to tap; some of its modules: {known}')
        self.freeze('encoder', network)
        self.taps = tuple(taps)
        self._features: dict[str, Tensor] = {}
        for path in self.taps:
            modules[path].register_forward_hook(partial(self._keep, path))
        with torch.no_grad():
            for path, feature in zip(self.taps, self._encode(torch.zeros(1, 1, 64, 64)), strict=True):
                if not isinstance(feature, Tensor) or feature.ndim != 4:
                    raise ValueError(f'{path!r} of {type(network).__name__} does not return one (N, C, h, w) tensor')

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar >= 0 of two ``(N, 1, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`. No gradient reaches ``target``.

        Raises:
            ValueError: colour images; use ``space='y'``.
        """
        if fused.shape[1] != 1:
            raise ValueError(f"fusion networks see luma, got {fused.shape[1]} channels; give the term space='y'")
        with torch.no_grad():
            expected = self._encode(target)
        total = 0
        for feature, goal in zip(self._encode(fused), expected, strict=True):
            total = total + mean_square(feature - goal) / mean_square(goal).clamp(min=1e-12)
        return total / len(self.taps)

    def _encode(self, image: Tensor) -> list[Tensor]:
        self._features.clear()
        with contextlib.suppress(_Seen):
            self.frozen['encoder'].fuse(image, image)
        features = [self._features[path] for path in self.taps]
        self._features.clear()
        return features

    def _keep(self, path: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        self._features[path] = output
        if len(self._features) == len(self.taps):
            raise _Seen
