"""Training algorithms, one file each."""

from .ema_teacher import EMATeacher
from .fusion_distiller import FusionDistiller
from .imitation import ImitationDistiller
from .kdrl import KDRLDistiller
from .ril import RILDistiller
from .teacher_cache import TeacherCache
from .term import Term

__all__ = [
    'EMATeacher',
    'FusionDistiller',
    'ImitationDistiller',
    'KDRLDistiller',
    'RILDistiller',
    'TeacherCache',
    'Term',
]
