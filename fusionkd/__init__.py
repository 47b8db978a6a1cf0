"""fusionkd: distillation toolbox for infrared-visible image fusion."""

from fusionkd.version import __version__

__all__ = ['__version__']
