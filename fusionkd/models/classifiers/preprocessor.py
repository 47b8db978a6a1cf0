"""Batch of loaded images to what recognisers see."""

from __future__ import annotations

import torch
from mmengine.model import BaseDataPreprocessor

from fusionkd.registry import MODELS


@MODELS.register_module()
class RecognitionPreprocessor(BaseDataPreprocessor):
    """Stack a batch to float32 in [0, 1].

    Input, from the default collate: ``dict(inputs=dict(image=[...]), data_samples=[...])`` with images ``(3, H, W)``, uint8.
    Output: the same with ``inputs = dict(image)``, ``(N, 3, H, W)``.

    Raises:
        ValueError: images of different sizes.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare one batch; ``training`` changes nothing."""
        data = self.cast_data(data)
        images = list(data['inputs']['image'])
        sizes = sorted({tuple(x.shape[-2:]) for x in images})
        if len(sizes) > 1:
            raise ValueError(f'a batch cannot hold images of sizes {sizes}: set size in LoadImage')
        return dict(inputs=dict(image=torch.stack(images).float().div_(255)), data_samples=data['data_samples'])
