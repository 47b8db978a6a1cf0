"""What a pair is known by, so that sets can be kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def pair_identity(info: Mapping[str, Any]) -> str:
    """The infrared file of a pair's data info, links followed, or its name where there is no file."""
    return str(Path(info['ir_path']).resolve()) if 'ir_path' in info else info['name']


def pair_identities(dataset: Any) -> set[str]:
    """Those of all pairs of a dataset or of a concatenation of datasets."""
    if hasattr(dataset, 'datasets'):
        return set().union(*(pair_identities(part) for part in dataset.datasets))
    return {pair_identity(dataset.get_data_info(i)) for i in range(len(dataset))}
