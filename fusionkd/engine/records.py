"""Results on disk as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionkd.fileio import atomic_path


def plain(node: Any) -> Any:
    """The same without numbers that JSON does not have: they become ``None``."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def write_json(path: str | Path, node: Any) -> None:
    """Write :func:`plain` values atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(plain(node), indent=1) + '\n', encoding='utf-8')


def digest(node: Any) -> str:
    """Short hash of a config, to tell whether it was changed."""
    return hashlib.sha1(json.dumps(node, sort_keys=True, default=str).encode()).hexdigest()[:12]
