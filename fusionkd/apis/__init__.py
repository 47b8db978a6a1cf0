"""Ways to use a trained network."""

from .inferencer import FolderReport, FusionInferencer

__all__ = ['FolderReport', 'FusionInferencer']
