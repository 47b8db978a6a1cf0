"""Batch of loaded pairs to what fusers see."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from fusionkd.ops import luma, split_ycbcr
from fusionkd.registry import MODELS


@MODELS.register_module()
class FusionPreprocessor(BaseDataPreprocessor):
    """Stack a batch, scale it to float32 in [0, 1] and split the visible image's colour.

    Padding is not done here: it belongs to a fuser's divisor, and a teacher's may differ from the student's.
    :meth:`BaseFuser.fuse` pads and crops.

    Input, from the default collate: ``dict(inputs=dict(ir=[...], vis=[...]), data_samples=[...])`` with tensors
    ``(C, H, W)``, uint8 or float in [0, 1]. Output: the same with ``inputs = dict(ir, vis, cbcr)``, ir and vis
    ``(N, 1, H, W)``, vis the full-range BT.601 luma, and cbcr ``(N, 2, H, W)`` or ``None`` for gray batches.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare one batch; ``training`` changes nothing."""
        inputs = self.cast_data(data['inputs'])
        samples = data.get('data_samples')
        ir = luma(_stack(inputs['ir'], 'ir', samples))
        vis, cbcr = split_ycbcr(_stack(inputs['vis'], 'vis', samples))
        return dict(inputs=dict(ir=ir, vis=vis, cbcr=cbcr), data_samples=samples)


def _stack(images: Sequence[Tensor] | Tensor, name: str, samples: Sequence | None) -> Tensor:
    images = list(images)
    sizes = {tuple(x.shape[-2:]) for x in images}
    if len(sizes) > 1:
        files = [sample.metainfo.get('name', '?') for sample in samples] if samples else []
        raise ValueError(
            f'a batch cannot hold {name} images of sizes {sorted(sizes)} (pairs {files}): '
            'add RandomCropPair to the pipeline, or use batch_size=1'
        )
    channels = max(x.shape[0] for x in images)
    batch = torch.stack([x.expand(channels, -1, -1) for x in images])
    return batch.float().div_(255) if batch.dtype == torch.uint8 else batch.float()
