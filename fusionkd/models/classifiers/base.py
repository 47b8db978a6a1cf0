"""What every recogniser shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from fusionkd.engine.checkpoint import load_weights


class Recognition(NamedTuple):
    """What a recogniser says of a batch.

    Attributes:
        logits: ``(N, ..., K)``, over K options: classes, the captions of the batch, or places of a box's side.
        embedding: ``(N, D)``, features of the whole image.
        boxes: ``(N, 4)``, x1, y1, x2, y2 as shares of width and height, or ``None``.
    """

    logits: Tensor
    embedding: Tensor
    boxes: Tensor | None = None


class BaseRecognizer(BaseModule):
    """A network that recognises what an image shows. Teachers and students are both recognisers.

    Subclasses implement :meth:`forward`, :meth:`labels` and :meth:`predict`, and set ``embedding_size``.

    Args:
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` loads weights strictly; anything else is mmengine's.
    """

    embedding_size: int

    def forward(self, image: Tensor, text: Sequence[str] | None = None) -> Recognition:
        """Recognise a batch.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1]; networks normalise by themselves.
            text: one a sample, for networks that read.
        """
        raise NotImplementedError(f'{type(self).__name__} must implement forward(image, text)')

    def labels(self, samples: Sequence) -> Tensor:
        """``(N, ...)``, the true option of every distribution in ``logits``, from data samples."""
        raise NotImplementedError(f'{type(self).__name__} must implement labels(samples)')

    def predict(self, image: Tensor, samples: Sequence) -> None:
        """Write what a metric needs into data samples."""
        raise NotImplementedError(f'{type(self).__name__} must implement predict(image, samples)')

    def example(self) -> tuple[Tensor, list[str]]:
        """A blank batch of two for :meth:`forward`."""
        return torch.zeros(2, 3, 64, 64), ['a', 'b']

    def init_weights(self) -> None:
        """Initialise, or load ``init_cfg``'s checkpoint strictly (mmengine would skip keys that do not fit)."""
        cfg = self.init_cfg
        if isinstance(cfg, dict) and cfg.get('type') == 'Pretrained':
            load_weights(self, cfg['checkpoint'])
            self._is_init = True
            return
        super().init_weights()


def class_labels(samples: Sequence, device: torch.device | str = 'cpu') -> Tensor:
    """``(N,)`` of samples that have a label.

    Raises:
        ValueError: one has none.
    """
    if any('label' not in sample for sample in samples):
        raise ValueError('a sample has no label: train a classifier on a set with classes, such as ClassFolders')
    return torch.stack([sample.label for sample in samples]).to(device)
