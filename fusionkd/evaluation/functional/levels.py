"""What every kernel expects: gray images in grey levels, 0 to 255, the two sources stacked along the channels."""

import torch
from torch import Tensor


def to_levels(
    ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, metric: str = 'this metric', smallest: int = 2
) -> tuple[Tensor, Tensor]:
    """Check three gray images and bring them to grey levels.

    Args:
        ir: ``(N, 1, H, W)``, float in [0, ``data_range``] or an integer type.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, usually 1 or 255.
        metric: name used in error messages.
        smallest: least height and width the metric is defined for.

    Returns:
        Sources ``(N, 2, H, W)``, ir first, and fused ``(N, 1, H, W)``, float in [0, 255].

    Raises:
        ValueError: shapes that are not ``(N, 1, H, W)``, differ, or are too small; a range that is not positive.
    """
    ir, vis = (_scale(name, image, data_range, metric) for name, image in (('ir', ir), ('vis', vis)))
    fused = fused_levels(fused, data_range, metric, smallest)
    for name, image in (('ir', ir), ('vis', vis)):
        if image.shape != fused.shape:
            raise ValueError(
                f'{metric}: {name} is {tuple(image.shape)} but fused is {tuple(fused.shape)}; all three must agree'
            )
    return torch.cat([ir, vis], dim=1), fused.to(ir.dtype)


def fused_levels(fused: Tensor, data_range: float, metric: str = 'this metric', smallest: int = 2) -> Tensor:
    """The checks and the scaling of :func:`to_levels` for one image, ``(N, 1, H, W)``."""
    fused = _scale('fused', fused, data_range, metric)
    check_size(fused, metric, smallest)
    return fused


def check_size(image: Tensor, metric: str, smallest: int) -> None:
    """Raise a ``ValueError`` if an image ``(..., H, W)`` has a side shorter than ``smallest``."""
    height, width = image.shape[-2:]
    if min(height, width) < smallest:
        raise ValueError(
            f'{metric} needs images of at least {smallest} x {smallest} pixels, got {height} x {width}; leave it out '
            'for images this small'
        )


def _scale(name: str, image: Tensor, data_range: float, metric: str) -> Tensor:
    if image.ndim != 4 or image.shape[1] != 1:
        raise ValueError(
            f'{metric}: {name} must be gray, (N, 1, H, W), got {tuple(image.shape)}; for colour images use '
            'fusionkd.evaluation.evaluate'
        )
    if not data_range > 0:
        raise ValueError(f'{metric}: data_range must be the value of white, 1 or 255, got {data_range}')
    if not image.is_floating_point():
        image = image.double()
    return image if data_range == 255 else image * (255 / data_range)
