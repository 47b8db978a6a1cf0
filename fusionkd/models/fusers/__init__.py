"""Networks ``(ir, vis) -> fused``, one file each."""

from .base import BaseFuser
from .ld_lite import LDLite, prune_l1
from .refined import RefinedFuser
from .seafusion import SeAFusion
from .swift import SwiftFuser
from .timm_dense import TimmDense
from .unet import UNet
from .weight_map import WeightMapFuser

__all__ = [
    'BaseFuser',
    'LDLite',
    'RefinedFuser',
    'SeAFusion',
    'SwiftFuser',
    'TimmDense',
    'UNet',
    'WeightMapFuser',
    'prune_l1',
]
