"""Protocols: complete sets of metric definitions. Numbers of two protocols never share a table.

The implementations that the field's tables come from disagree in rounding, units, borders and divisors. Each protocol is a
row of switches over one set of kernels (:mod:`fusionkd.evaluation.functional`); see the kernels' docstrings for what a
switch does to a metric.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MetricInfo:
    """What a reader of a table must know about a metric."""

    name: str
    higher_is_better: bool
    low: float  # of its possible values
    high: float
    needs_sources: bool
    summary: str


_INF = float('inf')
METRICS: dict[str, MetricInfo] = {
    m.name: m
    for m in (
        MetricInfo('EN', True, 0, 8, False, 'entropy of the grey levels'),
        MetricInfo('SD', True, 0, 127.5, False, 'standard deviation'),
        MetricInfo('SF', True, 0, 255 * 2**0.5, False, 'spatial frequency'),
        MetricInfo('AG', True, 0, _INF, False, 'average gradient'),
        MetricInfo('EI', True, 0, _INF, False, 'edge intensity'),
        MetricInfo('MI', True, 0, _INF, True, 'mutual information, sum over sources'),
        MetricInfo('NMI', True, 0, 2, True, 'normalised mutual information, sum over sources'),
        MetricInfo('FMI', True, 0, 1, True, 'mutual information in 3 x 3 windows, mean over sources'),
        MetricInfo('CE', False, -_INF, _INF, True, 'cross entropy of the histograms, mean over sources'),
        MetricInfo('CC', True, -1, 1, True, 'correlation coefficient, mean over sources'),
        MetricInfo('SCD', True, -2, 2, True, 'sum of the correlations of differences'),
        MetricInfo('MSE', False, 0, 255**2, True, 'mean squared error, mean over sources'),
        MetricInfo('RMSE', False, 0, _INF, True, 'root error as in VIFB, mean over sources'),
        MetricInfo('PSNR', True, -_INF, _INF, True, 'peak signal-to-noise ratio'),
        MetricInfo('VIF', True, 0, _INF, True, 'visual information fidelity, sum over sources'),
        MetricInfo('Qabf', True, 0, 1, True, 'edge preservation'),
        MetricInfo('Nabf', False, 0, 1, True, 'added edge artefacts'),
        MetricInfo('SSIM', True, -2, 2, True, 'structural similarity'),
        MetricInfo('MS_SSIM', True, 0, 2, True, 'multi-scale structural similarity'),
        MetricInfo('Qcv', False, 0, _INF, True, 'perceived difference'),
        MetricInfo('Qcb', True, 0, 1, True, 'preservation of perceived contrast'),
    )
}


@dataclass(frozen=True)
class SsimSwitch:
    """See :func:`fusionkd.evaluation.functional.ssim`."""

    dynamic_range: float = 255
    window: str = 'gaussian'
    padding: str = 'valid'


@dataclass(frozen=True)
class Protocol:
    """One complete set of metric definitions. Defaults are the published definitions (protocol ``proper``)."""

    name: str
    version: str
    source: str
    metrics: tuple[str, ...]  # computed unless others are asked for
    gray: str = 'exact'  # a method of images.to_gray, or 'channels': every metric per channel, then the mean
    quantise: bool = True  # floating images are rounded to whole levels first
    en_pooled: bool = False  # one histogram of all channels instead of the luma's
    en_offset: float = 0.0
    sf_channels: str = 'gray'  # or 'pooled', or 'side by side' as one wide image
    sf_divisor: str = 'differences'
    sf_wrap: bool = False
    ag_divisor: str = 'pixels'
    mi_unit: str = 'bits'
    mi_saturate: bool = False
    mse_scale: float = 255.0
    psnr_form: str = 'peak_255'
    edge_precision: str = 'float64'  # of Qabf, Nabf and AG on whole grey levels
    nabf_floor: float = 1e-3
    ssim: SsimSwitch = field(default_factory=SsimSwitch)
    ms_ssim_range: float = 255.0
    ssim_reduction: str = 'mean'

    @property
    def key(self) -> str:
        """Name and version: what a results row carries."""
        return f'{self.name}-{self.version}'


_COMMON = ('EN', 'SD', 'SF', 'AG', 'MI', 'MSE', 'PSNR', 'CC', 'SCD', 'VIF', 'Qabf', 'SSIM')

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            name='cddfuse',
            version='1',
            source='Evaluator.py of CDDFuse (CVPR 2023) with scikit-image 0.19; Nabf, which it lacks, as in `proper`',
            metrics=(*_COMMON, 'Nabf'),
            gray='opencv',
            mi_unit='nats',
            psnr_form='peak_fused',
            edge_precision='float32',  # as the evaluator's own images
            ssim=SsimSwitch(dynamic_range=2, window='uniform'),
            ssim_reduction='sum',
        ),
        Protocol(
            name='tang',
            version='1',
            source="Python port of L. Tang's evaluation code (PIAFusion, SeAFusion)",
            metrics=(
                'EN',
                'MI',
                'SF',
                'SD',
                'AG',
                'PSNR',
                'MSE',
                'VIF',
                'CC',
                'SCD',
                'Nabf',
                'Qabf',
                'SSIM',
                'MS_SSIM',
            ),
            gray='pillow',
            en_offset=1e-7,
            ag_divisor='inner',
            mse_scale=1,
            psnr_form='peak_255_over_unit',
            nabf_floor=0.0,
            ssim=SsimSwitch(dynamic_range=1),
            ms_ssim_range=1,
            ssim_reduction='sum',
        ),
        Protocol(
            name='tang_matlab',
            version='1',
            source="L. Tang's evaluation code in MATLAB",
            metrics=('EN', 'MI', 'PSNR', 'MSE', 'SF', 'SD', 'VIF', 'AG', 'CC', 'SCD', 'Qabf', 'Nabf', 'SSIM'),
            gray='matlab',
            ag_divisor='inner',
            mi_saturate=True,
            mse_scale=1,
            psnr_form='peak_255_over_unit',
            ssim=SsimSwitch(dynamic_range=1, padding='replicate'),
        ),
        Protocol(
            name='hybridfusion',
            version='1',
            source='Metric.py of HybridFusion (arXiv 2602.20851); its resizing of odd-sized images is not reproduced',
            metrics=('EN', 'SF', 'AG', 'SD', 'MI', 'PSNR', 'MSE', 'VIF', 'CC', 'SCD', 'Qabf', 'Nabf', 'SSIM'),
            gray='truncate',
            quantise=False,
            en_pooled=True,
            en_offset=1e-7,
            sf_channels='pooled',
            sf_wrap=True,
            ag_divisor='inner',
            mse_scale=1,
            psnr_form='peak_255_over_unit',
            nabf_floor=0.0,
            ssim=SsimSwitch(dynamic_range=1),
            ms_ssim_range=1,
            ssim_reduction='sum',
        ),
        Protocol(
            name='proper',
            version='1',
            source='the published definitions, well conditioned',
            metrics=(*_COMMON, 'MS_SSIM', 'Nabf'),
        ),
        Protocol(
            name='vifb',
            version='1',
            source='MATLAB code of VIFB (CVPRW 2020), the benchmark of 21 pairs',
            metrics=('CE', 'EN', 'MI', 'PSNR', 'AG', 'EI', 'Qabf', 'SD', 'SF', 'RMSE', 'SSIM', 'Qcb', 'Qcv'),
            gray='channels',
            mi_unit='nats',
            sf_channels='side by side',
            sf_divisor='pixels',
            ag_divisor='inner',
            psnr_form='rmse',
            ssim_reduction='sum',
        ),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """A protocol by its name, or itself.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f'unknown protocol {protocol!r}; known: {", ".join(PROTOCOLS)}')
    return PROTOCOLS[protocol]


def check_metrics(metrics: list[str] | tuple[str, ...] | str | None, protocol: Protocol) -> tuple[str, ...]:
    """The metrics asked for, or all of the protocol's own for ``None``.

    Raises:
        ValueError: an unknown name, a repeated one, or none at all; the message lists the known ones.
    """
    if metrics is None:
        return protocol.metrics
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    unknown = [m for m in metrics if m not in METRICS]
    if unknown:
        raise ValueError(f'unknown metrics {unknown}; known: {", ".join(METRICS)}')
    if len(set(metrics)) != len(metrics) or not metrics:
        raise ValueError(f'metrics must be different names, at least one, got {list(metrics)}')
    return metrics
