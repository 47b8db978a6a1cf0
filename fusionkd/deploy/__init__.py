"""From a trained fuser to a small file that runs without torch.

Everything is imported when it is first used: ``from fusionkd.deploy import OnnxFuser`` loads neither torch nor mmengine.
:func:`fusionkd.deploy.merge.merge` is in its own module, which has its name.
"""

from importlib import import_module

_PLACES = {'OnnxFuser': 'runtime', 'export_onnx': 'export', 'quantize_onnx': 'quantize'}

__all__ = ['OnnxFuser', 'export_onnx', 'quantize_onnx']


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}; it has {", ".join(__all__)}')
    return getattr(import_module(f'{__name__}.{_PLACES[name]}'), name)
