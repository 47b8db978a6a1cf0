"""Parts of images."""

from torch import Tensor


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Central square of ``(..., H, W)``, smaller where the image is; ``size`` 0 returns the whole image."""
    if not size:
        return image
    top, left = (max(side - size, 0) // 2 for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size]
