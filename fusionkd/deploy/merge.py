"""Merging what training needs and inference does not."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fusionkd.models.fusers import BaseFuser


def merge(fuser: BaseFuser) -> BaseFuser:
    """An equivalent copy for inference with fewer and plainer layers.

    Every submodule that has a method ``merged()`` is replaced by what it returns: a module that equals it in evaluation,
    such as the one convolution of a block with parallel branches. A convolution followed by a batch norm in an
    ``nn.Sequential`` becomes one convolution; an identity keeps the place of the norm, so that module paths stay valid.

    Args:
        fuser: is not changed.

    Returns:
        A copy in evaluation mode whose parameters need no gradient; its outputs differ by rounding only.

    Raises:
        TypeError: a ``merged()`` that does not return a module.

    Example:
        >>> from fusionkd.models.fusers import SwiftFuser
        >>> fuser = SwiftFuser()
        >>> sum(isinstance(m, nn.BatchNorm2d) for m in fuser.modules())
        13
        >>> sum(isinstance(m, nn.BatchNorm2d) for m in merge(fuser).modules())
        0
    """
    fuser = copy.deepcopy(fuser).eval()
    _replace(fuser)
    _fold(fuser)
    return fuser.eval().requires_grad_(False)


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if callable(getattr(child, 'merged', None)):
            merged = child.merged()
            if not isinstance(merged, nn.Module):
                raise TypeError(f'{type(child).__name__}.merged() must return a module, got {type(merged).__name__}')
            setattr(module, name, merged.eval())
        _replace(getattr(module, name))


def _fold(module: nn.Module) -> None:
    for child in module.modules():
        # A subclass with its own forward may call its layers in another order.
        if not isinstance(child, nn.Sequential) or type(child).forward is not nn.Sequential.forward:
            continue
        for i in range(len(child) - 1):
            conv, norm = child[i], child[i + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
                child[i], child[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
