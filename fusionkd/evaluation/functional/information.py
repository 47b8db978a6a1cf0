"""Measures of information from grey-level histograms: EN, MI, NMI, CE and windowed feature mutual information."""

import math

import torch
from torch import Tensor

from .levels import check_size, fused_levels, to_levels
from .windows import into, take_rows

LEVELS = 256
_UNITS = {'nats': 1.0, 'bits': 1 / math.log(2)}


def en(fused: Tensor, data_range: float, offset: float = 0.0) -> Tensor:
    r"""Shannon entropy of the grey levels of a fused image (EN).

    .. math:: \mathrm{EN} = -\sum_{i=0}^{255} p_i \log_2 p_i

    J. W. Roberts et al., *Assessment of image fusion procedures using entropy, image quality, and multispectral
    classification*, J. Appl. Remote Sens. 2, 2008. No reference: noise raises it as well as detail.

    Protocols: ``tang`` and ``hybridfusion`` compute ``log2(p + 1e-7)``; ``hybridfusion`` pools the three channels of a
    colour image in one histogram. All others are exact.

    Args:
        fused: gray, ``(N, 1, H, W)`` in [0, ``data_range``]; values are rounded to 256 levels.
        data_range: value of white, 1 or 255.
        offset: added to every probability inside the logarithm.

    Returns:
        ``(N,)``, 0 to 8 bits, higher is better. A constant image has 0, or with an offset of 1e-7 -1.4e-7.

    Example:
        >>> en(torch.arange(256.0).view(1, 1, 16, 16), data_range=255)
        tensor([8.], dtype=torch.float64)
    """
    levels = fused_levels(fused, data_range, 'EN', 1).round().int()
    return entropy_bits(histogram(levels), offset)


def mi(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, unit: str = 'nats', saturate: bool = False) -> Tensor:
    r"""Mutual information between a fused image and its sources (MI): the sum over both sources.

    .. math:: \mathrm{MI} = \sum_{S} H(S) + H(F) - H(S, F)

    G. Qu, D. Zhang and P. Yan, *Information measure for performance of image fusion*, Electronics Letters 38(7), 2002,
    from joint histograms of 256 x 256 levels. For a differentiable form see :func:`soft_mi`.

    Protocols: ``cddfuse`` and ``vifb`` in nats, all others in bits. ``tang_matlab`` sets ``saturate``. ``vifb`` stretches
    each image to 256 levels first, which never merges two levels and therefore changes nothing.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``]; values are rounded to 256 levels.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        unit: ``'nats'`` or ``'bits'``.
        saturate: let levels 254 and 255 share a bin in the joint histogram, but not in the marginal ones.

    Returns:
        ``(N,)``, from 0 (with ``saturate`` it may exceed the entropies), higher is better. Constant images have 0.

    Raises:
        ValueError: shapes that differ, or an unknown unit.

    Example:
        >>> image = torch.arange(256.0).view(1, 1, 16, 16)
        >>> mi(image, image, image, data_range=255, unit='bits')
        tensor([16.], dtype=torch.float64)
    """
    return mi_from_counts(_joint_counts(ir, vis, fused, data_range, 'MI'), unit, saturate)


def nmi(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    r"""Normalised mutual information (NMI, also Qmi).

    .. math:: \mathrm{NMI} = 2 \sum_S \frac{\mathrm{MI}(S, F)}{H(S) + H(F)}

    M. Hossny, S. Nahavandi and D. Creighton, *Comments on "Information measure for performance of image fusion"*,
    Electronics Letters 44(18), 2008. It removes the advantage that high-entropy sources have in MI.

    Protocols: the same in all.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``]; values are rounded to 256 levels.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)``, 0 to 2, higher is better; nan where both a source and ``fused`` are constant.

    Raises:
        ValueError: shapes that differ.
    """
    return nmi_from_counts(_joint_counts(ir, vis, fused, data_range, 'NMI'))


def ce(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    r"""Cross entropy between the grey-level histograms of the sources and of the fused image (CE).

    .. math:: \mathrm{CE} = \frac{1}{2} \sum_S \sum_{i:\, p_F(i) > 0} p_S(i) \log_2 \frac{p_S(i)}{p_F(i)}

    D. M. Bulanon, T. F. Burks and V. Alchanatis, *Image fusion of visible and thermal images for fruit detection*,
    Biosystems Engineering 103(1), 2009. Levels that ``fused`` lacks are skipped, so this is not a true divergence and can
    be negative.

    Protocols: the same in all (``vifb`` per channel).

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``]; values are rounded to 256 levels.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)`` in bits, lower is better, 0 for equal histograms and where ``fused`` shares no level with a source.

    Raises:
        ValueError: shapes that differ.
    """
    return ce_from_counts(_joint_counts(ir, vis, fused, data_range, 'CE'))


def soft_mi(
    ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, bins: int = LEVELS, unit: str = 'nats'
) -> Tensor:
    """Mutual information with a histogram that can be differentiated: a loss or a reward, *not from the paper*.

    Every pixel gives its weight to the two nearest of ``bins`` evenly spaced centres, in proportion to its distance. With
    256 bins and whole grey levels this is :func:`mi` exactly; between levels the joint histogram, and so the score, is
    piecewise smooth. Fewer bins cost less and give gradients that reach further.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        bins: number of centres, at least 2. Memory is ``3 N H W bins`` numbers.
        unit: ``'nats'`` or ``'bits'``.

    Returns:
        ``(N,)``, from 0, higher is better. Constant images have 0.

    Raises:
        ValueError: shapes that differ, fewer than two bins, or an unknown unit.
    """
    if bins < 2:
        raise ValueError(f'soft MI: expected at least 2 bins, got {bins}')
    sources, fused = to_levels(ir, vis, fused, data_range, 'soft MI', 1)
    n, s = sources.shape[:2]
    weights_s = _soft_assignment(sources.reshape(n, s, -1), bins)
    weights_f = _soft_assignment(fused.reshape(n, 1, -1), bins)
    counts = weights_s.mT @ weights_f  # (N, S, bins, bins)
    return mi_from_counts(counts, unit)


def fmi(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, feature: str = 'pixel') -> Tensor:
    r"""Feature mutual information in 3 x 3 windows (FMI; with pixels as features also FMI_pixel).

    M. Haghighat, A. Aghagolzadeh and H. Seyedarabi, *A non-reference image fusion metric based on mutual information of
    image features*, Comput. Electr. Eng. 37(5), 2011, in the fast form of M. Haghighat and M. A. Razian, *Fast-FMI*, AICT
    2014. The nine values of a window, stretched to [0, 1] and divided by their sum, are read as a distribution over the
    nine positions (column by column). The joint distribution of source and fused image is the mixture of independence and
    of a Frechet bound (the upper one for a positive correlation c, the lower one for a negative) whose correlation is c.

    .. math:: \mathrm{FMI} = \frac{1}{2} \sum_S \operatorname*{mean}_{w} \frac{2\,\mathrm{MI}_w(S, F)}{H_w(S) + H_w(F)}

    Protocols: the same in all. Windows equal in source and fused image count as 1 for either source; the widely used
    MATLAB file does so for the first source only.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 3 x 3.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        feature: ``'pixel'`` for the image itself, ``'gradient'`` for its derivative along x.

    Returns:
        ``(N,)``, about 0 to 1, higher is better; 1 where all three images are equal, 0 where a constant image meets another
        image.

    Raises:
        ValueError: shapes that differ or are too small, or an unknown feature.
    """
    if feature not in ('pixel', 'gradient'):
        raise ValueError(f"FMI: unknown feature {feature!r}; known: 'pixel', 'gradient'")
    sources, fused = to_levels(ir, vis, fused, data_range, 'FMI', 3)
    if feature == 'gradient':
        sources, fused = (torch.gradient(x, dim=-1)[0] for x in (sources, fused))
    return fmi_scores(sources, fused).mean(1)


def histogram(levels: Tensor) -> Tensor:
    """Counts of the 256 grey levels: integer ``(N, ...)`` to ``(N, 256)``."""
    n = levels.shape[0]
    offset = torch.arange(n, device=levels.device, dtype=levels.dtype).mul_(LEVELS).view(n, *[1] * (levels.ndim - 1))
    return torch.bincount((levels + offset).flatten(), minlength=n * LEVELS).view(n, LEVELS)


def joint_histogram(sources: Tensor, fused: Tensor) -> Tensor:
    """Joint counts of grey levels, source first.

    Args:
        sources: what :func:`joint_index` returned, ``(N, S, H, W)``.
        fused: levels of the fused image, ``(N, 1, H, W)``, of the same integer type.

    Returns:
        ``(N, S, 256, 256)``.
    """
    n, s = sources.shape[:2]
    return torch.bincount((sources + fused).flatten(), minlength=n * s * LEVELS**2).view(n, s, LEVELS, LEVELS)


def joint_index(sources: Tensor) -> Tensor:
    """Where the joint histogram of each source level begins: grey levels ``(N, S, H, W)`` to int32 of the same shape."""
    n, s = sources.shape[:2]
    offset = torch.arange(n * s, device=sources.device, dtype=torch.int32).mul_(LEVELS).view(n, s, 1, 1)
    return sources.to(torch.int32, copy=True).add_(offset).mul_(LEVELS)


def entropy_bits(counts: Tensor, offset: float = 0.0) -> Tensor:
    """Entropy in bits of counts ``(..., K)``, with ``offset`` added to the probabilities inside the logarithm."""
    counts = counts.double()
    p = counts / counts.sum(-1, keepdim=True)
    return -(p * (p + offset).clamp_min(torch.finfo(p.dtype).tiny).log2()).sum(-1)


def mi_from_counts(joint: Tensor, unit: str = 'nats', saturate: bool = False) -> Tensor:
    """MI from joint counts ``(N, S, K, K)``, summed over sources: ``(N,)``."""
    if unit not in _UNITS:
        raise ValueError(f'MI: unknown unit {unit!r}; known: {", ".join(_UNITS)}')
    of_source, of_fused, of_both = _entropies(joint, saturate)
    return (of_source + of_fused - of_both).sum(1) * _UNITS[unit]


def nmi_from_counts(joint: Tensor) -> Tensor:
    """NMI from joint counts ``(N, S, K, K)``: ``(N,)``."""
    of_source, of_fused, of_both = _entropies(joint)
    marginal = of_source + of_fused
    return (2 * (marginal - of_both) / marginal).sum(1)


def ce_from_counts(joint: Tensor) -> Tensor:
    """CE from joint counts ``(N, S, K, K)``: ``(N,)``."""
    joint = joint.double()
    total = joint.sum((-1, -2)).unsqueeze(-1)
    p_source, p_fused = joint.sum(-1) / total, joint.sum(-2) / total
    ratio = torch.where((p_fused > 0) & (p_source > 0), p_source / p_fused, 1.0)
    return (p_source * ratio.log2()).sum(-1).mean(1)


def fmi_scores(sources: Tensor, fused: Tensor) -> Tensor:
    """FMI of feature images ``(N, S, H, W)`` and ``(N, 1, H, W)`` to each source: ``(N, S)``."""
    check_size(sources, 'FMI', 3)
    total = 0.0
    for rows in _fmi_strips(sources):
        scores = _window_nmi(_columns(take_rows(sources, rows)), _columns(take_rows(fused, rows)))
        total = total + scores.sum((-1, -2))
    return total / ((sources.shape[-2] - 2) * (sources.shape[-1] - 2))


def _joint_counts(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, metric: str) -> Tensor:
    sources, fused = to_levels(ir, vis, fused, data_range, metric, 1)
    return joint_histogram(joint_index(sources.round()), fused.round().int())


def _entropies(joint: Tensor, saturate: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """H(S), H(F) and H(S, F) in nats, each ``(N, S)``."""
    joint = joint if joint.is_floating_point() else joint.double()
    total = joint.sum((-1, -2))
    marginals = joint.sum(-1), joint.sum(-2)
    if saturate:
        joint = _merge_last_two(_merge_last_two(joint).mT)

    def entropy(counts: Tensor, dims: tuple[int, ...]) -> Tensor:
        # Counts below one only occur in soft histograms, where x log x must stay exact and 0 log 0 is 0.
        logs = counts.clamp_min(torch.finfo(counts.dtype).tiny)
        logs = torch.log(logs, out=into(logs))
        return total.log() - torch.mul(logs, counts, out=into(logs)).sum(dims) / total

    return entropy(marginals[0], (-1,)), entropy(marginals[1], (-1,)), entropy(joint, (-1, -2))


def _merge_last_two(counts: Tensor) -> Tensor:
    return torch.cat([counts[..., :-2], counts[..., -2:].sum(-1, keepdim=True)], dim=-1)


def _soft_assignment(levels: Tensor, bins: int) -> Tensor:
    """``(..., P)`` grey levels to weights ``(..., P, bins)`` on evenly spaced centres, each row summing to 1."""
    centres = torch.linspace(0, bins - 1, bins, dtype=levels.dtype, device=levels.device)
    position = levels * ((bins - 1) / 255)
    return (1 - (position.unsqueeze(-1) - centres).abs()).clamp_min(0)


def _fmi_strips(sources: Tensor) -> list[slice]:
    """Strips thin enough for the 9 x 9 joint distributions of their windows."""
    rows = max(1, (1 << 20) // (81 * sources[..., 0, :].numel()))
    windows = sources.shape[-2] - 2
    return [slice(top, min(top + rows, windows) + 2) for top in range(0, windows, rows)]


def _columns(x: Tensor) -> Tensor:
    """The 3 x 3 windows of ``(..., h, W)``, read column by column: ``(..., h - 2, W - 2, 9)``."""
    return x.unfold(-2, 3, 1).unfold(-2, 3, 1).mT.flatten(-2)


def _window_nmi(x: Tensor, y: Tensor) -> Tensor:
    """Normalised mutual information of windows ``(..., 9)``."""
    same = (x == y).all(-1)
    p, q = _distribution(x), _distribution(y)
    cdf_p, cdf_q = p.cumsum(-1), q.cumsum(-1)
    dp, dq = p - p.mean(-1, keepdim=True), q - q.mean(-1, keepdim=True)
    covariance = (dp * dq).sum(-1)
    correlation = torch.where(covariance == 0, 0.0, covariance / (dp.square().sum(-1) * dq.square().sum(-1)).sqrt())
    correlation = correlation.nan_to_num(0.0)

    # A Frechet bound lays both distributions on [0, 1] as intervals, in the same order or in opposite orders: the mass of
    # a cell is the overlap of two intervals.
    start_p, start_q = cdf_p - p, cdf_q - q
    opposite = (correlation < 0).unsqueeze(-1)
    lower = torch.where(opposite, 1 - cdf_q, start_q)
    upper = torch.where(opposite, 1 - start_q, cdf_q)
    bound = torch.minimum(cdf_p.unsqueeze(-1), upper.unsqueeze(-2)) - torch.maximum(
        start_p.unsqueeze(-1), lower.unsqueeze(-2)
    )
    bound = bound.clamp_min(0)
    independent = p.unsqueeze(-1) * q.unsqueeze(-2)
    position = torch.arange(1, 10, dtype=p.dtype, device=p.device)
    spread = _spread(p, position) * _spread(q, position)
    # Hoeffding: the covariance of a joint distribution is the sum of its joint minus its product distribution function.
    reach = ((bound - independent) * torch.outer(position, position)).sum((-1, -2)) / spread
    share = torch.where((correlation == 0) | (spread == 0) | (reach == 0), 0.0, correlation / reach)[..., None, None]
    joint = share * bound + (1 - share) * independent

    entropy_p, entropy_q, entropy_joint = (_entropy(z, d) for z, d in ((p, (-1,)), (q, (-1,)), (joint, (-1, -2))))
    score = 2 * (entropy_p + entropy_q - entropy_joint) / (entropy_p + entropy_q)
    return torch.where(same, 1.0, score.nan_to_num(0.0, posinf=0.0, neginf=0.0))


def _distribution(x: Tensor) -> Tensor:
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    x = torch.where(low == high, 1.0, (x - low) / (high - low).clamp_min(torch.finfo(x.dtype).tiny))
    return x / x.sum(-1, keepdim=True)


def _spread(p: Tensor, position: Tensor) -> Tensor:
    mean = (p * position).sum(-1)
    return ((p * position.square()).sum(-1) - mean.square()).clamp_min(0).sqrt()


def _entropy(p: Tensor, dims: tuple[int, ...]) -> Tensor:
    # A share above 1 makes some cells slightly negative; the published code keeps the real part of their logarithm.
    return -(p * p.abs().clamp_min(torch.finfo(p.dtype).tiny).log2()).sum(dims)
