"""Image operations shared by models, losses, metrics and hard samples."""

from .colour import luma, merge_ycbcr, rgb_to_ycbcr, split_ycbcr, ycbcr_to_rgb
from .filters import filter_separable, gaussian_kernel1d, sobel
from .pyramid import (
    blend_pyramids,
    gaussian_downsample,
    gaussian_upsample,
    laplacian_pyramid,
    reconstruct,
    resize,
)

__all__ = [
    'blend_pyramids',
    'filter_separable',
    'gaussian_downsample',
    'gaussian_kernel1d',
    'gaussian_upsample',
    'laplacian_pyramid',
    'luma',
    'merge_ycbcr',
    'reconstruct',
    'resize',
    'rgb_to_ycbcr',
    'sobel',
    'split_ycbcr',
    'ycbcr_to_rgb',
]
