"""Fused images on disk, made by anyone, scored pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from fusionkd.fileio import ImageError, atomic_path, list_images, read_image, scale_to_unit

from .methods import score_methods
from .plots import WorstCase, plot_distributions, plot_methods, plot_worst
from .protocols import Protocol, check_metrics, get_protocol
from .tables import LeftOut, ResultTable, Row
from .trivial import TRIVIAL

_EXAMPLES = 3  # names shown in a message


@dataclass(frozen=True)
class ImageSet:
    """Folders of one set; images belong together by name, the suffix may differ.

    Attributes:
        name: of the set in tables.
        ir: folder of the infrared images.
        vis: folder of the visible images.
        fused: folder of the fused images by method.
    """

    name: str
    ir: Path
    vis: Path
    fused: Mapping[str, Path]


class _Task(NamedTuple):
    """Files of one pair."""

    set_name: str
    name: str
    ir: Path
    vis: Path
    fused: dict[str, Path]


_Scores = dict[str, dict[str, float]]


def evaluate_folders(
    sets: ImageSet | Sequence[ImageSet],
    protocol: str | Protocol = 'cddfuse',
    metrics: Sequence[str] | None = None,
    score: bool = True,
    trivial: bool = True,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> ResultTable:
    """Score fused images on disk.

    One pair is in memory at a time (one per worker). An image that is missing, unreadable, of another size or not finite
    leaves its pair out of all methods of the set, so that every row is a mean over the same images; the table lists it in
    ``left_out`` and the run goes on. Nothing is resized, and no range is guessed: 8 and 16 bit images span the range of
    their type, floating ones must be in [0, 1].

    Args:
        sets: folders of one or several sets.
        protocol: name of a set of definitions. Default ``'cddfuse'``.
        metrics: names to compute. Default those the protocol itself reports.
        score: add the balanced score and the target contrast, and ``Nabf`` if it is not among the metrics. Images must be
            at least 41 x 41. Default True.
        trivial: add the rows of :func:`fusionkd.evaluation.trivial_fusions`. Default True.
        workers: processes; each computes with one thread, as does the calling one when it is the only one, so the numbers
            are the same for every ``workers``. Above 1 the calling script needs ``if __name__ == '__main__':``.
        progress: called with (pairs done, pairs in all, name) after each pair. Default none.

    Returns:
        One row per set and method, rules last. A set of which every pair was left out has no rows.

    Raises:
        FileNotFoundError: a folder is missing or has no image.
        ImageError: two images of a folder share a name and differ in suffix only.
        ValueError: an unknown protocol or metric, sets or methods of equal or empty name, a method named like a rule, a set
            without a name that is in all of its folders, or ``workers`` below 1.

    Example:
        >>> sets = ImageSet('TNO', Path('TNO/ir'), Path('TNO/vis'), dict(mine=Path('out/TNO')))
        >>> evaluate_folders(sets, metrics=['VIF', 'Qabf'])  # doctest: +SKIP
    """
    sets = [sets] if isinstance(sets, ImageSet) else list(sets)
    protocol = get_protocol(protocol)
    metrics = check_metrics(metrics, protocol)
    if score and 'Nabf' not in metrics:
        metrics = (*metrics, 'Nabf')
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    _check_names(sets, trivial)
    left_out: list[LeftOut] = []
    tasks = [task for images in sets for task in _match(images, left_out)]
    run = partial(_score_files, protocol=protocol, metrics=metrics, score=score, trivial=trivial)
    scored: dict[str, dict[str, _Scores]] = {}
    for done, (task, outcome) in enumerate(_map(run, tasks, workers), 1):
        if isinstance(outcome, str):
            left_out.append(LeftOut(task.set_name, task.name, outcome))
        else:
            scored.setdefault(task.set_name, {})[task.name] = outcome
        if progress is not None:
            progress(done, len(tasks), task.name)
    table = ResultTable(protocol.key, left_out=left_out)
    for set_name, images in scored.items():
        for method, first in next(iter(images.values())).items():
            values = {m: [scores[method][m] for scores in images.values()] for m in first}
            table.add(Row(set_name, method, list(images), values, trivial and method in TRIVIAL), protocol.key)
    return table


def save_report(table: ResultTable, sets: ImageSet | Sequence[ImageSet], out: str | Path, worst: int = 4) -> list[Path]:
    """Write the files of ``tools/evaluate.py``.

    ``per_image.csv``, ``summary.{txt,md,tex,csv,json}``, ``left_out.csv``; for each set ``distributions*.png`` and
    ``methods*.png`` (with the set's name if there are several); with a balanced score ``worst.csv`` and, for each method,
    ``worst/<method>.png`` with the lowest-scoring pairs of each set.

    Args:
        table: of :func:`evaluate_folders`.
        sets: as they were given to it.
        out: folder, made if missing.
        worst: pairs of each set shown on a sheet. Default 4.

    Returns:
        The pictures.
    """
    out = Path(out)
    table.save(out, 'summary', 'per_image.csv')
    _write(out / 'left_out.csv', table.to_left_out_csv())
    names = list(dict.fromkeys(row.set_name for row in table.rows))
    pictures = []
    for name in names:
        end = f'_{_file_name(name)}' if len(names) > 1 else ''
        rows = [row for row in table.rows if row.set_name == name]
        for plot, stem in ((plot_distributions, 'distributions'), (plot_methods, 'methods')):
            plot(rows, out / f'{stem}{end}.png', table.protocol)
            pictures.append(out / f'{stem}{end}.png')
    if 'score' in table.metrics:
        _write(out / 'worst.csv', table.to_worst_csv(worst))
        pictures += _plot_worst(table, [sets] if isinstance(sets, ImageSet) else sets, out, worst)
    return pictures


def _plot_worst(table: ResultTable, sets: Sequence[ImageSet], out: Path, count: int) -> list[Path]:
    folders = {images.name: images for images in sets}
    pictures = []
    for method in dict.fromkeys(row.method for row in table.rows if not row.trivial):
        cases = []
        for row in (row for row in table.rows if row.method == method):
            images = folders[row.set_name]
            files = {
                k: list_images(f) for k, f in dict(ir=images.ir, vis=images.vis, fused=images.fused[method]).items()
            }
            for i in row.lowest('score', count):
                cases.append(WorstCase(row, i, {kind: paths[row.names[i]] for kind, paths in files.items()}))
        if cases:
            pictures.append(out / 'worst' / f'{_file_name(method)}.png')
            plot_worst(cases, pictures[-1], table.protocol)
    return pictures


def _check_names(sets: Sequence[ImageSet], trivial: bool) -> None:
    names = [images.name for images in sets]
    if not names or len(set(names)) < len(names) or not all(names):
        raise ValueError(f'sets need different names, at least one, got {names}')
    for images in sets:
        if not images.fused or not all(images.fused):
            raise ValueError(f'set {images.name!r} needs at least one folder of fused images, each with a name')
        clash = [method for method in images.fused if trivial and method in TRIVIAL]
        if clash:
            raise ValueError(f'{clash[0]!r} is the name of a rule in every table; call the method something else')


def _match(images: ImageSet, left_out: list[LeftOut]) -> list[_Task]:
    """Pairs that are in every folder of the set; the others go into ``left_out``."""
    folders = {images.ir: list_images(images.ir), images.vis: list_images(images.vis)}
    files = {method: list_images(folder) for method, folder in images.fused.items()}
    found = [*folders.items(), *((images.fused[method], files[method]) for method in files)]
    common = set.intersection(*(set(names) for _, names in found))
    if not common:
        some = '; '.join(f'{folder} has {", ".join(list(names)[:_EXAMPLES])} ...' for folder, names in found)
        raise ValueError(
            f'set {images.name!r}: no name is in all folders, and images belong together by name without suffix: {some}. '
            'Rename the files'
        )
    for name in sorted(set(chain.from_iterable(names for _, names in found)) - common):
        missing = ', '.join(str(folder) for folder, names in found if name not in names)
        left_out.append(LeftOut(images.name, name, f'no image of this name in {missing}; add it there'))
    return [
        _Task(
            images.name,
            name,
            folders[images.ir][name],
            folders[images.vis][name],
            {method: paths[name] for method, paths in files.items()},
        )
        for name in sorted(common)
    ]


def _map(
    run: Callable[[_Task], _Scores | str], tasks: Sequence[_Task], workers: int
) -> Iterator[tuple[_Task, _Scores | str]]:
    """Tasks with their outcomes, in order."""
    if workers == 1 or len(tasks) < 2:
        with _one_thread():
            yield from ((task, run(task)) for task in tasks)
        return
    # Forking a process that has used torch may hang, so workers start afresh.
    context = get_context('spawn')
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _use_one_thread) as pool:
        yield from zip(tasks, pool.map(run, tasks), strict=True)


def _score_files(task: _Task, protocol: Protocol, metrics: Sequence[str], score: bool, trivial: bool) -> _Scores | str:
    """Scores of one pair by method, or why there are none."""
    try:
        ir, vis = _read(task.ir), _read(task.vis)
        _check_size(task.vis, vis, task.ir, ir)
        fused = {}
        for method, path in task.fused.items():
            fused[method] = _read(path)
            _check_size(path, fused[method], task.ir, ir)
        return score_methods(ir, vis, fused, protocol, metrics, score, trivial)
    except (ImageError, ValueError, TypeError, OSError) as error:
        return str(error)


def _read(path: Path) -> Tensor:
    """``(1 or 3, H, W)``, uint8, or float32 in [0, 1]."""
    image = read_image(path)
    image = image if image.dtype == np.uint8 else scale_to_unit(image, name=str(path))
    return torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)


def _check_size(path: Path, image: Tensor, other: Path, expected: Tensor) -> None:
    if image.shape[1:] != expected.shape[1:]:
        (h, w), (eh, ew) = image.shape[1:], expected.shape[1:]
        raise ImageError(
            f'{path} is {w} x {h} pixels, {other} is {ew} x {eh} (width x height); nothing is resized here, '
            'make it again at that size'
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread, so that sums do not depend on how many there are; what was set before comes back."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    _use_one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _file_name(text: str) -> str:
    """The text with everything that is no letter, digit, dot, minus or underscore replaced."""
    return ''.join(c if c.isalnum() or c in '.-_' else '_' for c in text).lstrip('.') or '_'


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
