"""Evaluation of fused images: metrics, the protocols that define them, and scores."""

from .answer_metric import AnswerMetric
from .folders import ImageSet, evaluate_folders, save_report
from .fusion_metric import FusionMetric
from .protocols import METRICS, PROTOCOLS, MetricInfo, Protocol, get_protocol
from .recognition_metric import ClassificationMetric, GroundingMetric, RetrievalMetric
from .score import Scorer
from .scoring import Sources, evaluate, prepare_sources
from .tables import LeftOut, ResultTable, Row
from .trivial import TRIVIAL, trivial_fusions

__all__ = [
    'METRICS',
    'PROTOCOLS',
    'TRIVIAL',
    'AnswerMetric',
    'ClassificationMetric',
    'FusionMetric',
    'GroundingMetric',
    'ImageSet',
    'LeftOut',
    'MetricInfo',
    'Protocol',
    'ResultTable',
    'RetrievalMetric',
    'Row',
    'Scorer',
    'Sources',
    'evaluate',
    'evaluate_folders',
    'get_protocol',
    'prepare_sources',
    'save_report',
    'trivial_fusions',
]
