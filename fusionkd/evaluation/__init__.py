"""Evaluation of fused images: metrics, the protocols that define them, and scores."""

from .fusion_metric import FusionMetric, trivial_fusions
from .protocols import METRICS, PROTOCOLS, MetricInfo, Protocol, get_protocol
from .score import Scorer
from .scoring import Sources, evaluate, prepare_sources
from .tables import ResultTable, Row

__all__ = [
    'METRICS',
    'PROTOCOLS',
    'FusionMetric',
    'MetricInfo',
    'Protocol',
    'ResultTable',
    'Row',
    'Scorer',
    'Sources',
    'evaluate',
    'get_protocol',
    'prepare_sources',
    'trivial_fusions',
]
