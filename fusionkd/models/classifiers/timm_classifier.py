"""Any timm network as a classifier."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import timm
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from fusionkd.registry import MODELS

from .base import BaseRecognizer, Recognition, class_labels


@MODELS.register_module()
class TimmClassifier(BaseRecognizer):
    """A timm network; its parts can be tapped under ``backbone.``.

    Args:
        model_name: of timm, such as ``'resnet10t'``.
        num_classes: K.
        pretrained: download timm's weights; without a network, one warning and random weights. Default False.
        options: further ones of the timm model, such as ``dict(channels=(16, 32, 64, 128))``.
        init_cfg: see :class:`BaseRecognizer`.

    Images are normalised by mean and standard deviation that timm gives for the model.

    Raises:
        ValueError: unknown model, or one whose classifier does not follow its pooled features.

    Example:
        >>> TimmClassifier('resnet10t', 7)(torch.zeros(2, 3, 64, 64)).logits.shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        model_name: str,
        num_classes: int,
        pretrained: bool = False,
        options: Mapping | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.backbone = _create(model_name, pretrained, dict(options or {}, num_classes=num_classes))
        for name in ('mean', 'std'):
            value = torch.tensor(self.backbone.default_cfg[name]).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.embedding_size = self._check()

    def forward(self, image: Tensor, text: Sequence[str] | None = None) -> Recognition:
        """Logits over the classes, ``(N, K)``; ``text`` is not read."""
        features = self.backbone.forward_features((image - self.mean) / self.std)
        embedding = self.backbone.forward_head(features, pre_logits=True)
        return Recognition(self.backbone.get_classifier()(embedding), embedding)

    def labels(self, samples: Sequence) -> Tensor:
        return class_labels(samples, self.mean.device)

    def predict(self, image: Tensor, samples: Sequence) -> None:
        for sample, logits in zip(samples, self(image).logits.float(), strict=True):
            sample.logits = logits

    @torch.no_grad()
    def _check(self) -> int:
        """Size of the embedding, of a network whose logits are its classifier's output for it."""
        image = torch.rand(2, 3, 64, 64)
        self.eval()
        found = self(image)
        whole = self.backbone((image - self.mean) / self.std)
        self.train()
        if found.embedding.ndim != 2 or not torch.allclose(found.logits, whole, atol=1e-4):
            raise ValueError(f'{type(self.backbone).__name__} does not end in pooled features and one classifier')
        return found.embedding.shape[1]


def _create(model_name: str, pretrained: bool, options: dict) -> nn.Module:
    if model_name not in timm.list_models():
        close = difflib.get_close_matches(model_name, timm.list_models(), n=5)
        raise ValueError(f'timm has no model {model_name!r}; similar: {", ".join(close) or "see timm.list_models()"}')
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
