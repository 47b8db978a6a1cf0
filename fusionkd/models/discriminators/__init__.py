"""Networks that tell a student's outputs from its teachers', one world a file."""

from .base import Discriminator
from .collapse import CollapseDetector
from .fusion import FusionDiscriminator
from .vision_language import VisionLanguageDiscriminator

__all__ = ['CollapseDetector', 'Discriminator', 'FusionDiscriminator', 'VisionLanguageDiscriminator']
