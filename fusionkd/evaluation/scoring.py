"""Scores of fused images under a protocol."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import functional as fn
from .images import as_batch, quantise, to_gray
from .protocols import Protocol, check_metrics, get_protocol

# Images are scored in groups of about this many pixels, so that memory does not grow with the batch.
_GROUP_PIXELS = {'cpu': 1 << 18, 'cuda': 1 << 24}
_SMALLEST = {'VIF': fn.VIF_SMALLEST, 'MS_SSIM': fn.MS_SSIM_SMALLEST, 'FMI': 3}


def evaluate(
    ir: Any,
    vis: Any,
    fused: Any,
    protocol: str | Protocol = 'cddfuse',
    metrics: Sequence[str] | None = None,
    data_range: float | None = None,
    sources: 'Sources | None' = None,
) -> dict[str, Tensor]:
    """Score fused images.

    Args:
        ir: infrared images: tensor or numpy array ``(N, C, H, W)``, ``(C, H, W)``, ``(H, W)`` or, numpy only,
            ``(H, W, 3)``; 1 or 3 channels; uint8, or floating in [0, ``data_range``].
        vis: visible images, as many and of the same size.
        fused: fused images, as many and of the same size.
        protocol: name of a set of definitions; see :data:`fusionkd.evaluation.PROTOCOLS`. It also decides how images
            are rounded and made gray.
        metrics: names to compute; ``None`` means those that the protocol itself reports.
        data_range: value of white of floating images, 1 or 255. It is never guessed; uint8 images need none.
        sources: what :func:`prepare_sources` returned, instead of ``ir`` and ``vis`` (pass ``None`` for both): work on the
            sources is then done once for many fused images.

    Returns:
        For every metric its values, float64 ``(N,)``, on the device of ``fused``, in the order asked for.

    Raises:
        TypeError: images of a wrong type.
        ValueError: unknown protocol or metric (the message lists the known ones), shapes or devices that differ, values
            that are not finite or outside the range, an image too small for a metric, or ``sources`` that do not fit.

    Example:
        >>> ir, vis = torch.zeros(1, 1, 48, 64, dtype=torch.uint8), torch.full((1, 3, 48, 64), 9, dtype=torch.uint8)
        >>> evaluate(ir, vis, vis, metrics=['EN', 'MSE'])['MSE']
        tensor([40.5000], dtype=torch.float64)
    """
    if sources is None:
        if ir is None or vis is None:
            raise ValueError('pass ir and vis, or sources=prepare_sources(ir, vis, ...)')
        protocol = get_protocol(protocol)
        metrics = check_metrics(metrics, protocol)
        ir, vis = _sources(ir, vis, data_range)
    else:
        if ir is not None or vis is not None:
            raise ValueError('sources takes the place of ir and vis; pass None for both')
        protocol, metrics = sources.check(protocol, metrics)
    fused = as_batch('fused', fused, data_range)
    _check_match(fused, ir if sources is None else sources.like)
    _check_smallest(fused, metrics, protocol)
    _keep_heap()
    with torch.no_grad():
        columns = []
        for i, span in enumerate(_groups(fused)):
            group = SourceTerms(ir[span], vis[span], protocol) if sources is None else sources.groups[i]
            pair = _Pair(group, fused[span], metrics)
            columns.append([_per_image(_SCORES[m](pair, protocol), len(fused[span])) for m in metrics])
    return {m: torch.cat(values) for m, values in zip(metrics, zip(*columns, strict=True), strict=True)}


def prepare_sources(
    ir: Any,
    vis: Any,
    protocol: str | Protocol = 'cddfuse',
    metrics: Sequence[str] | None = None,
    data_range: float | None = None,
) -> 'Sources':
    """Do the work on a pair, or a batch of pairs, that all its fused images share.

    Args:
        ir: as in :func:`evaluate`.
        vis: as in :func:`evaluate`.
        protocol: as in :func:`evaluate`, which must be called with the same.
        metrics: the metrics that will be asked for.
        data_range: as in :func:`evaluate`.

    Returns:
        For ``evaluate(None, None, fused, protocol, sources=...)``. It takes about 15 numbers in float64 per source pixel.

    Raises:
        TypeError: see :func:`evaluate`.
        ValueError: see :func:`evaluate`.
    """
    protocol = get_protocol(protocol)
    metrics = check_metrics(metrics, protocol)
    ir, vis = _sources(ir, vis, data_range)
    _check_smallest(ir, metrics, protocol)
    _keep_heap()
    with torch.no_grad():
        groups = [SourceTerms(ir[span], vis[span], protocol) for span in _groups(ir)]
        for group in groups:
            group.keep(metrics)
    return Sources(protocol, metrics, ir[:, :1], groups)


@dataclass(frozen=True)
class Sources:
    """Prepared pairs; see :func:`prepare_sources`."""

    protocol: Protocol
    metrics: tuple[str, ...]
    like: Tensor  # an image batch of the pairs' size, for checks
    groups: 'list[SourceTerms]'

    def check(self, protocol: str | Protocol, metrics: Sequence[str] | None) -> tuple[Protocol, tuple[str, ...]]:
        """Protocol and metrics of a call, if these sources were prepared for them."""
        protocol = get_protocol(protocol)
        if protocol != self.protocol:
            raise ValueError(f'sources were prepared for protocol {self.protocol.name!r}, not {protocol.name!r}')
        if metrics is None:
            return protocol, self.metrics
        metrics = check_metrics(metrics, protocol)
        missing = [m for m in metrics if m not in self.metrics]
        if missing:
            raise ValueError(f'sources were not prepared for {missing}; add them to prepare_sources(metrics=...)')
        return protocol, metrics


class SourceTerms:
    """What metrics need of a group of pairs alone.

    Lists of strips are made anew for every use, strip by strip while they are used, unless :meth:`keep` has stored them:
    one fused image is scored fastest when nothing is stored.
    """

    def __init__(self, ir: Tensor, vis: Tensor, protocol: Protocol):
        self.protocol = protocol
        self.images = ir, vis
        self.channels = max(ir.shape[1], vis.shape[1])
        self._kept: dict[str, list] = {}

    def keep(self, metrics: Sequence[str]) -> None:
        """Do now, once, what the metrics will need."""
        for metric in metrics:
            for term in _SOURCE_TERMS.get(metric, ()):
                getattr(self, term)
        makers = {'VIF': self._make_vif, 'SSIM': self._make_ssim}
        self._kept = {metric: list(make()) for metric, make in makers.items() if metric in metrics}
        if 'Qabf' in metrics or 'Nabf' in metrics:
            self._kept['edges'] = list(self._make_edges(metrics))

    def vif(self) -> Iterable[fn.VifWindows]:
        """Windows for VIF."""
        return self._kept.get('VIF') or self._make_vif()

    def ssim(self) -> Iterable[fn.SsimWindows]:
        """Windows for SSIM."""
        return self._kept.get('SSIM') or self._make_ssim()

    def edges(self, metrics: Sequence[str]) -> 'Iterable[_EdgePart]':
        """Parts of the image for Qabf and Nabf."""
        return self._kept.get('edges') or self._make_edges(metrics)

    def _make_vif(self) -> Iterable[fn.VifWindows]:
        return fn.vif_windows(self.gray)

    def _make_ssim(self) -> Iterable[fn.SsimWindows]:
        return fn.ssim_windows(self.gray, self.ssim_form)

    def _make_edges(self, metrics: Sequence[str]) -> 'Iterable[_EdgePart]':
        paddings = [padding for metric, padding in (('Qabf', 'zeros'), ('Nabf', 'mirror')) if metric in metrics]
        for source in fn.source_edges(self.gray, paddings, getattr(torch, self.protocol.edge_precision)):
            weight, weights = None, None
            if 'Qabf' in metrics and source.part != 'mirror':
                weight = fn.qabf_weight(source.edges)
            if 'Nabf' in metrics and source.part != 'zeros':
                weights = fn.nabf_weights(source.edges, self.protocol.nabf_floor)
            yield _EdgePart(source, weight, weights)

    @cached_property
    def gray(self) -> Tensor:
        """Both sources in grey levels: ``(N, 2, H, W)``, or ``(N * channels, 2, H, W)`` scored channel by channel."""
        return torch.cat([_gray(image, self.protocol, self.channels) for image in self.images], dim=1)

    @cached_property
    def index(self) -> Tensor:
        """Where the joint histograms of the source levels begin."""
        return fn.joint_index(self.gray)

    @cached_property
    def moments(self) -> fn.SourceMoments:
        """Means and covariances of the sources."""
        return fn.source_moments(self.gray)

    @cached_property
    def ssim_form(self) -> fn.SsimForm:
        """The protocol's SSIM."""
        return _ssim_form(self.protocol)

    @cached_property
    def ms_ssim_form(self) -> fn.SsimForm:
        """The protocol's MS_SSIM."""
        return fn.ssim_form(self.protocol.ms_ssim_range)

    @cached_property
    def ms_ssim(self) -> list[list[fn.SsimWindows]]:
        """Windows for MS_SSIM."""
        return fn.ms_ssim_windows(self.gray, self.ms_ssim_form)


class _EdgePart(NamedTuple):
    source: fn.SourceEdges
    qabf_weight: Tensor | None  # (N, S), where the part counts for Qabf
    nabf_weights: Tensor | None  # of every source pixel, where it counts for Nabf


class _Pair:
    """A group of fused images beside its sources; what several metrics share is computed once."""

    def __init__(self, source: SourceTerms, fused: Tensor, metrics: Sequence[str]):
        if source.protocol.gray == 'channels' and fused.shape[1] > source.channels:
            source = SourceTerms(*(x.expand(-1, fused.shape[1], -1, -1) for x in source.images), source.protocol)
        self.source = source
        self.metrics = metrics
        self.needs_joint = not {'MI', 'NMI', 'CE'}.isdisjoint(metrics)
        self.raw = quantise(fused) if source.protocol.quantise else fused
        self.fused = _gray(self.raw, source.protocol, source.channels)

    @cached_property
    def moments(self) -> fn.Moments:
        whole = not (self.fused.is_floating_point() or self.source.gray.is_floating_point())
        if whole and self.needs_joint:
            return fn.moments_from_counts(self.source.moments, self.joint)
        return fn.moments(self.source.moments, self.fused)

    @cached_property
    def joint(self) -> Tensor:
        return fn.joint_histogram(self.source.index, self.fused.int()).double()

    @cached_property
    def counts(self) -> Tensor:
        if self.source.protocol.en_pooled:
            return fn.histogram(self.raw.int())
        if self.needs_joint:
            return self.joint[:, 0].sum(-2)
        return fn.histogram(self.fused.int())

    @cached_property
    def edges(self) -> tuple[Tensor, Tensor]:
        """Qabf and Nabf, or something void for one that nobody asked for: they share the edges of all inner pixels."""
        kept = kept_weight = added = added_weight = self.fused.new_zeros(1, 2, dtype=torch.float64)
        for source, qabf_weight, nabf_weights in self.source.edges(self.metrics):
            part = fn.compare_edges(source, self.fused)
            if qabf_weight is not None and 'Qabf' in self.metrics:
                kept = kept + fn.qabf_part(part)
                kept_weight = kept_weight + qabf_weight
            if nabf_weights is not None and 'Nabf' in self.metrics:
                added = added + fn.nabf_part(part, nabf_weights)
                added_weight = added_weight + fn.sum_pixels(nabf_weights)
        return kept.sum(1) / kept_weight.sum(1), added.sum(1) / added_weight.sum(1)


def _sf(pair: _Pair, protocol: Protocol) -> Tensor:
    if protocol.sf_channels == 'gray':
        return fn.sf_levels(pair.fused, protocol.sf_divisor, protocol.sf_wrap)
    levels = pair.raw.double()
    if protocol.sf_channels == 'side by side':
        levels = levels.movedim(1, -2).flatten(-2).unsqueeze(1)
    return fn.sf_levels(levels, protocol.sf_divisor, protocol.sf_wrap)


def _ssim(pair: _Pair, protocol: Protocol) -> Tensor:
    scores, _ = fn.ssim_scores(pair.source.ssim(), pair.fused, pair.source.ssim_form)
    return fn.reduce_sources(scores, protocol.ssim_reduction)


def _ms_ssim(pair: _Pair, protocol: Protocol) -> Tensor:
    scores = fn.ms_ssim_scores(pair.source.ms_ssim, pair.fused, pair.source.ms_ssim_form)
    return fn.reduce_sources(scores, protocol.ssim_reduction)


_SCORES: dict[str, Callable[[_Pair, Protocol], Tensor]] = {
    'EN': lambda pair, p: fn.entropy_bits(pair.counts, p.en_offset),
    'SD': lambda pair, p: fn.sd_from(pair.moments),
    'SF': _sf,
    'AG': lambda pair, p: fn.ag_levels(pair.fused, p.ag_divisor, getattr(torch, p.edge_precision)),
    'EI': lambda pair, p: fn.ei(pair.fused, 255),
    'MI': lambda pair, p: fn.mi_from_counts(pair.joint, p.mi_unit, p.mi_saturate),
    'NMI': lambda pair, p: fn.nmi_from_counts(pair.joint),
    'CE': lambda pair, p: fn.ce_from_counts(pair.joint),
    'FMI': lambda pair, p: fn.fmi_scores(pair.source.gray, pair.fused).mean(1),
    'CC': lambda pair, p: fn.cc_from(pair.moments),
    'SCD': lambda pair, p: fn.scd_from(pair.moments),
    'MSE': lambda pair, p: fn.mse_from(pair.moments, p.mse_scale),
    'RMSE': lambda pair, p: fn.rmse_from(pair.moments),
    'PSNR': lambda pair, p: fn.psnr_from(pair.moments, p.psnr_form),
    'VIF': lambda pair, p: fn.vif_scores(pair.source.vif(), pair.fused).sum(1),
    'Qabf': lambda pair, p: pair.edges[0],
    'Nabf': lambda pair, p: pair.edges[1],
    'SSIM': _ssim,
    'MS_SSIM': _ms_ssim,
    'Qcv': lambda pair, p: fn.qcv(*pair.source.gray.split(1, 1), pair.fused, 255),
    'Qcb': lambda pair, p: fn.qcb(*pair.source.gray.split(1, 1), pair.fused, 255),
}
_SOURCE_TERMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(('MI', 'NMI', 'CE'), ('index',)),
    **dict.fromkeys(('SD', 'CC', 'SCD', 'MSE', 'RMSE', 'PSNR'), ('moments',)),
    'MS_SSIM': ('ms_ssim',),
}


@cache
def _keep_heap() -> None:
    """Make the C library keep freed memory for the next strip.

    glibc hands memory back to the system beyond twice the largest block it has ever freed, and every page that comes back
    costs a fault: about a third of the time here. A block that is never touched costs nothing but raises that limit.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def _gray(images: Tensor, protocol: Protocol, channels: int) -> Tensor:
    images = quantise(images) if protocol.quantise else images
    if protocol.gray != 'channels':
        return to_gray(images, protocol.gray)
    return images.expand(-1, channels, -1, -1).reshape(-1, 1, *images.shape[2:])


def _per_image(values: Tensor, images: int) -> Tensor:
    """Mean over the channels that were scored one by one."""
    return values.view(images, -1).mean(1)


def _groups(images: Tensor) -> list[slice]:
    n, _, height, width = images.shape
    budget = _GROUP_PIXELS.get(images.device.type, _GROUP_PIXELS['cuda'])
    size = max(1, budget // (height * width))
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _sources(ir: Any, vis: Any, data_range: float | None) -> tuple[Tensor, Tensor]:
    ir, vis = as_batch('ir', ir, data_range), as_batch('vis', vis, data_range)
    _check_match(vis, ir, 'vis', 'ir')
    return ir, vis


def _check_match(image: Tensor, other: Tensor, name: str = 'fused', other_name: str = 'the sources') -> None:
    if image.shape[2:] != other.shape[2:]:
        size, expected = (' x '.join(map(str, x.shape[2:])) for x in (image, other))
        raise ValueError(f'{name} is {size} pixels (H x W), {other_name} {expected}; nothing is resized here')
    if len(image) != len(other):
        raise ValueError(f'{name} has {len(image)} images, {other_name} {len(other)}')
    if image.device != other.device:
        raise ValueError(f'{name} is on {image.device}, {other_name} on {other.device}; move them to one device')


def _check_smallest(images: Tensor, metrics: Sequence[str], protocol: Protocol) -> None:
    for metric in metrics:
        smallest = _ssim_form(protocol).smallest if metric == 'SSIM' else _SMALLEST.get(metric, 2)
        fn.check_size(images, metric, smallest)


def _ssim_form(protocol: Protocol) -> fn.SsimForm:
    switch = protocol.ssim
    return fn.ssim_form(switch.dynamic_range, switch.window, switch.padding)
