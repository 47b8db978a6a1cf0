"""Speed and memory of the metrics, beside the same definitions computed with scipy, scikit-image and scikit-learn.

    python benchmarks/metrics.py                            # all tables, about two minutes
    python benchmarks/metrics.py --repeats 3 --pairs 60     # quicker

The baseline is what the field's common evaluators do: full two-dimensional convolutions for VIF and Qabf,
``structural_similarity``, ``mutual_info_score`` and ``shannon_entropy``. Both sides see the same gray 480 x 640 triple,
run in turns in one process, each on ``--threads`` threads, and must agree before anything is timed. Times are medians;
``best`` compares the fastest runs of both sides, which other work on the machine disturbs least.
"""

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fusionkd.evaluation import PROTOCOLS, ImageSet, evaluate, evaluate_folders, prepare_sources
from fusionkd.evaluation.images import to_gray
from fusionkd.fileio import read_image, write_image

try:
    import threadpoolctl
    from scipy.signal import convolve2d
    from skimage.measure import shannon_entropy
    from skimage.metrics import structural_similarity
    from sklearn.metrics import mutual_info_score
except ImportError as error:
    MISSING = error
else:
    MISSING = None

ROOT = Path(__file__).resolve().parents[1]
METRICS = ('EN', 'SD', 'SF', 'AG', 'MI', 'MSE', 'PSNR', 'CC', 'SCD', 'VIF', 'Qabf', 'SSIM', 'Nabf')
SIZE = (480, 640)


def baseline(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray, names: tuple[str, ...] = METRICS) -> dict[str, float]:
    """The ``cddfuse`` definitions on gray float arrays, written with the libraries of the public evaluators."""
    sources = (ir, vis)
    formulas: dict[str, Callable[[], float]] = {
        'EN': lambda: shannon_entropy(fused),
        'SD': lambda: np.std(fused),
        'SF': lambda: np.sqrt(sum(np.mean(np.diff(fused, axis=a) ** 2) for a in (0, 1))),
        'AG': lambda: np.sqrt(sum(g**2 for g in np.gradient(fused)) / 2).mean(),
        'MI': lambda: sum(mutual_info_score(fused.ravel(), s.ravel()) for s in sources),
        'MSE': lambda: np.mean([np.mean((s - fused) ** 2) for s in sources]),
        'PSNR': lambda: 10 * np.log10(fused.max() ** 2 / np.mean([np.mean((s - fused) ** 2) for s in sources])),
        'CC': lambda: np.mean([_correlation(s, fused) for s in sources]),
        'SCD': lambda: _correlation(fused - vis, ir) + _correlation(fused - ir, vis),
        'VIF': lambda: sum(_vif(s, fused) for s in sources),
        'Qabf': lambda: _qabf(ir, vis, fused),
        'SSIM': lambda: sum(structural_similarity(fused, s, data_range=2) for s in sources),
        'Nabf': lambda: _nabf(ir, vis, fused),
    }
    return {name: float(formulas[name]()) for name in names}


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _vif(source: np.ndarray, image: np.ndarray) -> float:
    kept = information = 0.0
    for scale, size in enumerate((17, 9, 5, 3)):
        x = np.arange(size) - size // 2
        window = np.exp(-(x[:, None] ** 2 + x**2) / (2 * (size / 5) ** 2))
        local = functools.partial(convolve2d, in2=window / window.sum(), mode='valid')
        if scale:
            source, image = local(source)[::2, ::2], local(image)[::2, ::2]
        mean_s, mean_f = local(source), local(image)
        var_s = np.maximum(local(source * source) - mean_s**2, 0)
        var_f = np.maximum(local(image * image) - mean_f**2, 0)
        covariance = local(source * image) - mean_s * mean_f
        gain = covariance / (var_s + 1e-10)
        noise = var_f - gain * covariance
        flat = var_s < 1e-10
        gain[flat], noise[flat], var_s[flat] = 0, var_f[flat], 0
        gain[var_f < 1e-10], noise[var_f < 1e-10] = 0, 0
        noise[gain < 0] = var_f[gain < 0]
        gain, noise = np.maximum(gain, 0), np.maximum(noise, 1e-10)
        kept += np.log10(1 + gain**2 * var_s / (noise + 2)).sum()
        information += np.log10(1 + var_s / 2).sum()
    return kept / information if information else 1.0


def _sobel(image: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    return convolve2d(image, kernel, mode=mode), convolve2d(image, -kernel.T, mode=mode)


def _qabf(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    edges = []
    for image in (ir, vis, fused):
        dx, dy = _sobel(image, 'same')
        angle = np.full_like(dx, np.pi / 2)
        np.arctan(np.divide(dy, dx, out=angle, where=dx != 0), out=angle, where=dx != 0)
        edges.append((np.hypot(dx, dy), angle))
    strength_f, angle_f = edges.pop()
    total = 0.0
    for strength, angle in edges:
        low, high = np.minimum(strength, strength_f), np.maximum(strength, strength_f)
        ratio = np.where(low == high, strength_f, low / np.maximum(high, 1e-300))
        aligned = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        q = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (aligned - 0.8)))
        total += (q * strength).sum()
    return float(total / (edges[0][0] + edges[1][0]).sum())


def _nabf(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    edges = []
    for image in (ir, vis, fused):
        dx, dy = (d / 8 for d in _sobel(np.pad(image, 1, mode='reflect'), 'valid'))
        with np.errstate(divide='ignore', invalid='ignore'):
            edges.append((np.hypot(dx, dy), np.where((dx == 0) & (dy == 0), 0, np.arctan(dx / dy))))
    strength_f, angle_f = edges.pop()
    added = (strength_f > edges[0][0]) & (strength_f > edges[1][0])
    artefacts = weights = 0.0
    for strength, angle in edges:
        ratio = np.minimum(strength, strength_f) / np.maximum(np.maximum(strength, strength_f), 1e-300)
        aligned = np.abs(np.abs(angle - angle_f) - np.pi / 2) * 2 / np.pi
        q = 0.9999 / (1 + np.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + np.exp(-22 * (aligned - 0.5)))
        weight = np.where(strength >= 2, strength**1.5, 1e-3)
        artefacts += (added * (1 - np.sqrt(q)) * weight).sum()
        weights += weight.sum()
    return float(artefacts / weights)


def load_triple() -> tuple[str, list[np.ndarray]]:
    """A real triple where the data folder exists, else a drawn one: its name, and uint8 ir, vis, fused, gray or RGB."""
    folder = Path(os.environ.get('FUSIONKD_DATA', ROOT / '../shared/data')) / 'metric_golden/msrs_00537D_piafusion'
    if folder.is_dir():
        return folder.name, [read_image(folder / f'{name}.png') for name in ('ir', 'vi', 'fused')]
    ir, vis, fused = synthetic_triple(*SIZE)
    return 'synthetic', [ir, np.stack([vis] * 3, axis=-1), np.stack([fused] * 3, axis=-1)]


def tensor(image: np.ndarray) -> torch.Tensor:
    """``(H, W)`` or ``(H, W, 3)`` to ``(1, C, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))[None]


def gray(image: np.ndarray) -> torch.Tensor:
    """uint8 luma as the protocol defines it, ``(1, 1, H, W)``."""
    return to_gray(tensor(image), PROTOCOLS['cddfuse'].gray)


def synthetic_triple(height: int, width: int) -> list[np.ndarray]:
    """Smooth shapes, texture and noise: gray uint8 ir, vis and their average."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    ir = 70 + 60 * np.sin(5 * x + 3 * y) + 120 * (((x - 0.6) ** 2 + (y - 0.5) ** 2) < 0.02) + rng.normal(0, 3, x.shape)
    vis = 110 + 50 * np.sin(40 * x * y) + 40 * ((8 * x + 6 * y) % 2 < 1) + rng.normal(0, 5, x.shape)
    ir, vis = (np.clip(image, 0, 255).round() for image in (ir, vis))
    return [image.astype(np.uint8) for image in (ir, vis, (ir + vis) / 2)]


def interleaved(
    functions: dict[str, Callable[[], object]], repeats: int, inner: dict[str, int]
) -> dict[str, list[float]]:
    """Milliseconds of each function, timed in turns, ``inner`` times a turn; sorted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            for _ in range(inner.get(name, 1)):
                start = time.perf_counter()
                function()
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: sorted(values) for name, values in times.items()}


def compare_speed(repeats: int, threads: int) -> None:
    """Table 1: every metric alone and the complete set, baseline beside ours."""
    name, triple = load_triple()
    tensors = [gray(image) for image in triple]
    floats = [image[0, 0].double().numpy() for image in tensors]
    expected, ours = baseline(*floats), evaluate(*tensors)
    for metric in METRICS:
        if not np.isclose(expected[metric], float(ours[metric]), rtol=1e-6, atol=1e-8):
            raise SystemExit(f'{metric}: the baseline gives {expected[metric]}, we give {float(ours[metric])}')
    print(f'complete cddfuse set, {name}, {triple[0].shape[0]} x {triple[0].shape[1]}, {threads} thread(s), ', end='')
    print(f'median of {repeats}, values equal to 1e-6')
    print(f'{"metric":>22} {"baseline ms":>12} {"ours ms":>9} {"ratio":>7} {"best":>7}')
    without = tuple(m for m in METRICS if m != 'Nabf')
    rows = {'all 12 and Nabf': METRICS, 'all 12': without, **{m: (m,) for m in METRICS}}
    for label, names in rows.items():
        times = interleaved(
            {
                'baseline': lambda names=names: baseline(*floats, names),
                'ours': lambda names=names: evaluate(*tensors, metrics=names),
            },
            repeats,
            {'ours': 5},
        )
        slow, fast = statistics.median(times['baseline']), statistics.median(times['ours'])
        best = times['baseline'][0] / times['ours'][0]
        print(f'{label:>22} {slow:12.2f} {fast:9.2f} {slow / fast:6.1f}x {best:6.1f}x')


def compare_cached(repeats: int, threads: int, methods: int = 10) -> None:
    """Table 2: several methods on one pair with prepared sources, beside as many separate runs."""
    name, (ir, vis, fused) = load_triple()
    images = dict(
        zip(('ir', 'vis', *range(methods)), (ir, vis, *(np.roll(fused, i, 1) for i in range(methods))), strict=True)
    )
    grays = {key: gray(image) for key, image in images.items()}

    def separate(load: Callable[[object], torch.Tensor]) -> None:
        for i in range(methods):
            evaluate(load('ir'), load('vis'), load(i))

    def prepared(load: Callable[[object], torch.Tensor]) -> None:
        sources = prepare_sources(load('ir'), load('vis'))
        for i in range(methods):
            evaluate(None, None, load(i), sources=sources)

    with tempfile.TemporaryDirectory() as folder:
        for key, image in images.items():
            write_image(Path(folder, f'{key}.png'), image)
        loads = {
            'gray, in memory': grays.__getitem__,
            'files, in colour': lambda key: tensor(read_image(Path(folder, f'{key}.png'))),
        }
        functions = {
            (kind, label): lambda run=run, load=load: run(load)
            for label, load in loads.items()
            for kind, run in (('separate', separate), ('prepared', prepared))
        }
        times = interleaved(functions, repeats, {})
    print(f'\n{methods} methods on one pair ({name}), {threads} thread(s), median of {repeats}')
    print(f'{"":>22} {"separate ms":>12} {"prepared ms":>12} {"ratio":>7} {"best":>7}')
    for label in loads:
        slow, fast = times['separate', label], times['prepared', label]
        ratio, best = statistics.median(fast) / statistics.median(slow), fast[0] / slow[0]
        print(f'{label:>22} {statistics.median(slow):12.1f} {statistics.median(fast):12.1f} {ratio:7.1%} {best:7.1%}')


def measure_memory(height: int, width: int, threads: int) -> None:
    """Table 3: peak memory beyond the interpreter and its imports, in a process of its own."""
    plain, prepared = _in_child('--memory-child', height, width, '--threads', threads)
    print(f'\npeak memory beyond interpreter and imports, one {height} x {width} pair, {threads} thread(s)')
    print(f'{"evaluate":>22} {plain:9.0f} MB\n{"with prepared sources":>22} {prepared:9.0f} MB')


def measure_set(pairs: int, threads: int) -> None:
    """Table 4: the same for a set on disk, which must not depend on the number of pairs."""
    few = min(pairs, 20)
    beyond, beyond_few = _in_child('--set-child', pairs, few, '--threads', threads)
    decoded = pairs * 7 * SIZE[0] * SIZE[1] / 2**20  # gray ir, colour vis and fused
    print(f'\npeak memory beyond interpreter and imports, a set of {SIZE[0]} x {SIZE[1]} pairs, {threads} thread(s)')
    for count, value in ((few, beyond_few), (pairs, beyond)):
        print(f'{count:>16} pairs {value:9.0f} MB')
    print(f'{"(held in memory":>22} {decoded:9.0f} MB)')


def _in_child(*arguments: object) -> list[float]:
    command = [sys.executable, __file__, *map(str, arguments)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(x) for x in result.stdout.split()]


def _set_child(pairs: int, few: int) -> None:
    """Print the peaks of many pairs and of a few, the few first so that they cannot hide behind the many."""
    _, triple = load_triple()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kinds = ('ir', 'vis', 'fused')
        for kind, image in zip(kinds, triple, strict=True):
            write_image(root / f'{kind}.png', image)
            for count in (few, pairs):
                (root / str(count) / kind).mkdir(parents=True, exist_ok=True)
                for i in range(count):
                    (root / str(count) / kind / f'{i:04d}.png').symlink_to(root / f'{kind}.png')
        sets = [
            ImageSet('set', *(root / str(n) / k for k in kinds[:2]), {'m': root / str(n) / 'fused'})
            for n in (few, pairs)
        ]
        evaluate(*(tensor(image)[..., :64, :64].contiguous() for image in triple))
        before, peaks = _memory_mb('VmRSS'), []
        for images in sets:
            Path('/proc/self/clear_refs').write_text('5')
            evaluate_folders(images, score=False, trivial=False)
            peaks.append(_memory_mb('VmHWM') - before)
    print(*reversed(peaks))


def _memory_child(height: int, width: int) -> None:
    triple = [tensor(image) for image in synthetic_triple(height, width)]
    evaluate(*(image[..., :64, :64].contiguous() for image in triple))  # libraries set up on first use, as imports do
    for use in ('plain', 'prepared'):
        Path('/proc/self/clear_refs').write_text('5')  # the peak starts from what is in use now
        before = _memory_mb('VmRSS')
        if use == 'plain':
            evaluate(*triple)
        else:
            evaluate(None, None, triple[2], sources=prepare_sources(*triple[:2]))
        print(_memory_mb('VmHWM') - before)


def _memory_mb(field: str) -> float:
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Parse arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--pairs', type=int, default=361, help='size of the set whose memory is measured')
    parser.add_argument('--memory-child', type=int, nargs=2, metavar=('H', 'W'), help=argparse.SUPPRESS)
    parser.add_argument('--set-child', type=int, nargs=2, metavar=('PAIRS', 'FEW'), help=argparse.SUPPRESS)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    if args.memory_child:
        _memory_child(*args.memory_child)
        return
    if args.set_child:
        _set_child(*args.set_child)
        return
    if MISSING:
        raise SystemExit(f'the baseline needs scipy, scikit-image and scikit-learn: pip install them ({MISSING})')
    with threadpoolctl.threadpool_limits(args.threads):
        compare_speed(args.repeats, args.threads)
        compare_cached(args.repeats, args.threads)
        measure_memory(768, 1024, args.threads)
        measure_set(args.pairs, args.threads)


if __name__ == '__main__':
    main()
