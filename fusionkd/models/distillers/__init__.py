"""Training algorithms, one file each."""

from .fusion_distiller import FusionDistiller
from .term import Term

__all__ = ['FusionDistiller', 'Term']
