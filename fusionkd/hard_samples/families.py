"""Which degradations are trained on, which are kept for testing, and how a test applies one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionkd.ops import merge_ycbcr, split_ycbcr
from fusionkd.registry import HARD_SAMPLES

from .degradation import STAGES, Degradation

# The split is ours. Every operation with a published range is seen; what is unseen comes in two kinds: relatives of something
# seen (the first five), and effects that nothing seen resembles.
SEEN = (
    'blur',
    'anisotropic_blur',
    'brightness',
    'contrast',
    'gamma',
    'low_light',
    'noise',
    'stripe_noise',
    'jpeg',
    'haze',
)
UNSEEN = (
    'motion_blur',
    'poisson_noise',
    'grain_noise',
    'over_exposure',
    'low_resolution',
    'smoke',
    'rain',
    'dead_pixels',
    'occlusion',
    'misregistration',
    'thermal_inversion',
)


def known_degradations() -> dict[str, Degradation]:
    """Registered degradations by name, in the order in which composed ones are applied.

    A function registered without a stage counts as a sensor's.
    """
    HARD_SAMPLES.import_from_location()
    known = {name: op for name, op in HARD_SAMPLES.module_dict.items() if not isinstance(op, type)}
    return dict(sorted(known.items(), key=lambda item: STAGES.index(getattr(item[1], 'stage', 'sensor'))))


def degrade_pair(
    ir: Tensor, vis: Tensor, op: str, strength: float, seed: int | Sequence[int] = 0
) -> tuple[Tensor, Tensor]:
    """Degrade the images of a test so that every method sees the same ones.

    What an image becomes depends on its own seed, not on the batch it is in. Two strengths of one seed are two degrees of
    the same damage. CPU and GPU draw different numbers.

    Args:
        ir: ``(N, 1, H, W)`` or ``(1, H, W)`` in [0, 1].
        vis: the same with 1 or 3 channels; of a colour image the luma is degraded and the chroma put back, as fusion does.
        op: name of a registered degradation.
        strength: in [0, 1].
        seed: one per image, or a number, from which the images of a batch count up. Default 0.

    Returns:
        Degraded ``ir`` and ``vis`` of the same shapes.

    Raises:
        ValueError: an unknown operation, a strength outside [0, 1], shapes that do not fit, or another number of seeds.

    Example:
        >>> ir, vis = degrade_pair(torch.rand(1, 32, 32), torch.rand(3, 32, 32), 'rain', 0.5, seed=7)
    """
    known = known_degradations()
    if op not in known:
        raise ValueError(f'unknown degradation {op!r}; known: {", ".join(sorted(known))}')
    if not 0 <= strength <= 1:
        raise ValueError(f'strength must be in [0, 1], got {strength}')
    fits = ir.ndim == vis.ndim and ir.ndim in {3, 4} and ir.shape[-3] == 1 and vis.shape[-3] in {1, 3}
    if not fits or ir.shape[-2:] != vis.shape[-2:] or ir.shape[:-3] != vis.shape[:-3]:
        raise ValueError(
            f'expected ir (N, 1, H, W) and vis (N, 1 or 3, H, W) or both without N, got {tuple(ir.shape)} and '
            f'{tuple(vis.shape)}'
        )
    if ir.ndim == 3:
        hard_ir, hard_vis = degrade_pair(ir[None], vis[None], op, strength, seed)
        return hard_ir[0], hard_vis[0]
    seeds = list(range(seed, seed + len(ir))) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(ir):
        raise ValueError(f'{len(ir)} pairs need as many seeds, got {len(seeds)}')
    y, cbcr = split_ycbcr(vis)
    pairs = [
        known[op](ir[i : i + 1], y[i : i + 1], ir.new_tensor([strength]), torch.Generator().manual_seed(s))
        for i, s in enumerate(seeds)
    ]
    hard_ir, hard_y = (torch.cat(images) for images in zip(*pairs, strict=True))
    if strength == 0 or cbcr is None:
        return hard_ir, hard_y if cbcr is None else vis
    return hard_ir, merge_ycbcr(hard_y, cbcr)
