"""Latency of fusers and rules on this machine, and memory and start of the runtime without torch.

    python benchmarks/latency.py                                    # everything, about half an hour on two cores
    python benchmarks/latency.py --methods SwiftFuser maximum --sizes 480x640 --threads 1
    python benchmarks/latency.py --student student_best.pth         # a network of your own beside them

A cell is one method, backend, size and number of threads. Only one network is alive at a time, because thread pools of
several disturb each other; cells of one size and number of threads take turns for ``--rounds`` rounds, so that a change of
the machine meets all of them. Each turn starts with an untimed run. A method whose single run would take longer than
``--budget`` seconds is left out, with the reason. What is timed: luma in, luma out, with padding, float32, of a network
merged for inference with random weights; ``FusionInferencer`` and ``OnnxFuser`` (float32) are their whole calls, 8-bit
colour in and out.
"""

import argparse
import contextlib
import copy
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusionkd import zoo
from fusionkd.apis import FusionInferencer
from fusionkd.deploy import OnnxFuser, export_onnx, quantize_onnx
from fusionkd.deploy.merge import merge
from fusionkd.fileio import atomic_path
from fusionkd.models.fusers import BaseFuser
from fusionkd.registry import MODELS

STUDENTS = ('fusionkd-fast', 'fusionkd-base', 'fusionkd-best', 'fusionkd-teacher')
FUSERS = {
    **{name: zoo.card(name)['fuser'] for name in STUDENTS if name in zoo.names()},
    'SwiftFuser': dict(type='SwiftFuser', width=40, depth=3, context_width=24, block='depthwise', stem=1),
    'SeAFusion': dict(type='SeAFusion'),
    'LD-Lite': dict(type='LDLite'),
    'U-Net, HybridFusion': dict(type='WeightMapFuser', backbone=dict(type='UNet', width=64)),
}
DIVISORS = {'LDLite': 8}  # with which it can be exported for any size
RULES = {'maximum': 'numpy', 'Laplacian maximum': 'opencv'}
TORCH = ('eager', 'channels-last', 'compile', 'FusionInferencer')
ONNX = ('onnxruntime', 'int8', 'OnnxFuser')
CUDA = ('cuda', 'cuda half', 'cuda half compile')
QUICK = dict(methods=['SwiftFuser', *RULES], backends=['channels-last', *ONNX, *RULES.values()])

_CHILD = """
import sys, time
start = time.perf_counter()
import numpy as np
from fusionkd.deploy import OnnxFuser
imported = time.perf_counter()
path, height, width, threads = sys.argv[1], *map(int, sys.argv[2:])
fuse = OnnxFuser(path, threads)
loaded = time.perf_counter()
ir, vis = np.zeros((height, width), np.uint8), np.zeros((height, width, 3), np.uint8)
fuse(ir, vis)
first = time.perf_counter()
for _ in range(5):
    fuse(ir, vis)
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(imported - start, loaded - imported, first - loaded, int(peak.split()[1]) / 1024)
"""


@dataclass
class Cell:
    """One method on one backend, at one size and number of threads.

    Attributes:
        method: row of the tables.
        backend: column of the tables.
        size: height and width in pixels.
        threads: that compute one image; 0 on a GPU.
        times: of all timed runs, in milliseconds.
        skipped: why there is no time, or empty.
        spent: seconds so far.
    """

    method: str
    backend: str
    size: tuple[int, int]
    threads: int
    times: list[float] = field(default_factory=list)
    skipped: str = ''
    spent: float = 0.0

    def quantile(self, percent: float) -> float:
        """Of the times, in milliseconds."""
        return float(np.percentile(self.times, percent))

    def summary(self, parameters: int) -> dict:
        """One entry of the json table."""
        entry = dict(method=self.method, parameters=parameters, backend=self.backend, size=list(self.size))
        entry['threads'] = self.threads
        if self.skipped:
            return dict(entry, skipped=self.skipped)
        names = dict(p10=10, median=50, p90=90, p99=99)
        return dict(
            entry, runs=len(self.times), fps=1e3 / self.quantile(50), **{k: self.quantile(v) for k, v in names.items()}
        )


class Bench:
    """Networks, their exported files, and how each backend is set up.

    Args:
        fusers: by name; randomly initialised.
        folder: for exported files.
        spin: of :class:`OnnxFuser`.
    """

    def __init__(self, fusers: dict[str, BaseFuser], folder: Path, spin: bool = True):
        self.fusers = fusers
        self.folder = folder
        self.spin = spin
        self.files: dict[tuple[str, str], Path | str] = {}
        self.compiled: dict[tuple[str, str], BaseFuser] = {}
        self.group: tuple | None = None

    def parameters(self, method: str) -> int:
        """Of the network as it is trained; a rule has none."""
        return sum(p.numel() for p in self.fusers[method].parameters()) if method in self.fusers else 0

    def file(self, method: str, precision: str) -> Path:
        """Exported network, written when it is first asked for.

        Raises:
            RuntimeError: it could not be exported, now or before.
        """
        key = method, precision
        if key not in self.files:
            path = self.folder / f'{len(self.files)}.onnx'
            try:
                if precision == 'int8':
                    rng = np.random.default_rng(0)
                    images = [rng.integers(0, 256, (96, 128), dtype=np.uint8) for _ in range(4)]
                    quantize_onnx(self.file(method, 'float32'), path, [images[:2], images[2:]])
                else:
                    fuser = self.fusers[method]
                    export_onnx(fuser, path, (96, 128), divisor=DIVISORS.get(type(fuser).__name__))
                self.files[key] = path
            except Exception as error:
                self.files[key] = _reason(error)
        if isinstance(self.files[key], str):
            raise RuntimeError(self.files[key])
        return self.files[key]

    @contextlib.contextmanager
    def open(self, cell: Cell) -> Iterator[Callable[[], object]]:
        """What is timed, alive only inside the block."""
        height, width = cell.size
        ir, vis = (np.random.default_rng(i).random((height, width), dtype=np.float32) for i in range(2))
        if cell.backend == 'numpy':
            yield lambda: np.maximum(ir, vis)
        elif cell.backend == 'opencv':
            cv2.setNumThreads(cell.threads)
            yield lambda: laplacian_maximum(ir, vis)
        elif cell.backend in ONNX:
            cv2.setNumThreads(cell.threads)
            path = self.file(cell.method, 'int8' if cell.backend == 'int8' else 'float32')
            runtime = OnnxFuser(path, cell.threads, self.spin)
            if cell.backend == 'OnnxFuser':
                images = _bytes(cell.size)
                yield lambda: runtime(*images)
            else:
                yield lambda: runtime.fuse_luma(ir, vis)
        elif cell.backend == 'FusionInferencer':
            torch.set_num_threads(cell.threads)
            inferencer, images = (
                FusionInferencer(copy.deepcopy(self.fusers[cell.method]), device='cpu'),
                _bytes(cell.size),
            )
            yield lambda: inferencer(*images)
        else:
            yield self._torch(cell, *(torch.from_numpy(x)[None, None] for x in (ir, vis)))

    def _torch(self, cell: Cell, ir: torch.Tensor, vis: torch.Tensor) -> Callable[[], object]:
        on_gpu = cell.backend.startswith('cuda')
        if not on_gpu:
            torch.set_num_threads(cell.threads)
        if cell.backend.endswith('compile'):
            group, key = (cell.size, cell.threads), (cell.method, cell.backend)
            if group != self.group:
                torch._dynamo.reset()
                self.group, self.compiled = group, {}
            if key not in self.compiled:  # kept for all turns: the compiler takes much longer than one
                if not on_gpu and not any(map(shutil.which, ('c++', 'g++', 'clang++'))):
                    raise RuntimeError('no C++ compiler')
                self.compiled[key] = merge(self.fusers[cell.method])
                self.compiled[key].compile(dynamic=False)
            network = self.compiled[key]
        else:
            network = merge(self.fusers[cell.method])
        if cell.backend != 'eager':
            network.to(memory_format=torch.channels_last)
        if on_gpu:
            kind = torch.float16 if 'half' in cell.backend else torch.float32
            network.to('cuda', kind)
            ir, vis = (x.to('cuda', kind) for x in (ir, vis))

        @torch.inference_mode()
        def run() -> None:
            network.fuse(ir, vis)
            if on_gpu:
                torch.cuda.synchronize()

        return run


def laplacian_maximum(ir: np.ndarray, vis: np.ndarray, levels: int = 4) -> np.ndarray:
    """The rule of :func:`fusionkd.evaluation.trivial.laplacian_maximum` with OpenCV's pyramid."""
    bands = []
    for _ in range(levels):
        lows = [cv2.pyrDown(x) for x in (ir, vis)]
        detail_ir, detail_vis = (
            x - cv2.pyrUp(low, dstsize=x.shape[::-1]) for x, low in zip((ir, vis), lows, strict=True)
        )
        bands.append(np.where(np.abs(detail_ir) > np.abs(detail_vis), detail_ir, detail_vis))
        ir, vis = lows
    fused = (ir + vis) / 2
    for band in reversed(bands):
        fused = cv2.pyrUp(fused, dstsize=band.shape[::-1]) + band
    return fused


def measure(bench: Bench, cells: list[Cell], rounds: int, budget: float) -> None:
    """Time all cells of one size and number of threads in turns."""
    for turn in range(rounds):
        for cell in cells:
            if cell.skipped or (cell.spent > budget and len(cell.times) >= 3):
                continue
            try:
                _turn(bench, cell, budget / rounds, budget if turn == 0 else math.inf)
            except Exception as error:
                cell.skipped, cell.times = _reason(error), []


def _turn(bench: Bench, cell: Cell, seconds: float, limit: float) -> None:
    with bench.open(cell) as run:
        _time(cell, run, seconds, limit)


def _time(cell: Cell, run: Callable[[], object], seconds: float, limit: float) -> None:
    begin = time.perf_counter()
    run()
    if cell.backend.endswith('compile') and not cell.times:  # that was the compiler
        begin = time.perf_counter()
        run()
    if (single := time.perf_counter() - begin) > limit:
        cell.skipped = f'one run takes {single:.1f} s'
        return
    until = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        run()
        end = time.perf_counter()
        cell.times.append((end - start) * 1e3)
        if end >= until:
            break
    cell.spent += end - begin


def skip_hopeless(cells: list[Cell], done: list[Cell], budget: float) -> None:
    """Leave out what took too long on fewer pixels with as many threads."""
    for cell in cells:
        for other in done:
            if (other.method, other.backend, other.threads) != (cell.method, cell.backend, cell.threads):
                continue
            pixels = math.prod(cell.size) / math.prod(other.size)
            if other.skipped:
                cell.skipped = (
                    other.skipped if other.skipped.startswith('at ') else f'at {_by(other.size)} {other.skipped}'
                )
            elif (seconds := statistics.median(other.times) * pixels / 1e3) > budget:
                cell.skipped = f'one run would take about {seconds:.0f} s'


def measure_start(bench: Bench, methods: list[str], size: tuple[int, int], threads: int) -> list[dict]:
    """Memory and start of the runtime without torch, each in a process of its own."""
    rows = []
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[1]))
    for method in methods:
        for precision in ('float32', 'int8'):
            if not isinstance(bench.files.get((method, precision)), Path):
                continue
            path = bench.file(method, precision)
            command = [sys.executable, '-c', _CHILD, str(path), *map(str, (*size, threads))]
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                continue
            imports, load, first, peak = map(float, done.stdout.split())
            row = dict(method=method, precision=precision, file_mb=path.stat().st_size / 2**20, peak_mb=peak)
            row.update(imports_ms=imports * 1e3, load_ms=load * 1e3, first_ms=first * 1e3)
            rows.append(dict(row, process_ms=(time.perf_counter() - start) * 1e3))
    return rows


def machine() -> dict:
    """What the numbers were measured with."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text(encoding='utf-8').splitlines() if info.is_file() else []
    flags = next((line.split() for line in lines if line.startswith('flags')), [])
    cpu = next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')), platform.processor())
    versions = dict(torch=torch.__version__, onnxruntime=onnxruntime.__version__, opencv=cv2.__version__)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    vnni = any(flag in flags for flag in ('avx512_vnni', 'avx_vnni'))
    return dict(cpu=cpu, cores=os.cpu_count(), vnni=vnni, gpu=gpu, load=os.getloadavg()[0], **versions)


def markdown(bench: Bench, cells: list[Cell], start: list[dict], host: dict, size: tuple[int, int]) -> str:
    """All tables."""
    lines = [
        f'{host["cpu"]}, {host["cores"]} cores, {"with" if host["vnni"] else "without"} 8-bit dot products (VNNI)'
        + (f'; {host["gpu"]}' if host['gpu'] else ''),
        f'torch {host["torch"]}, onnxruntime {host["onnxruntime"]}, OpenCV {host["opencv"]}. '
        f'Load of the machine before the first run: {host["load"]:.1f}.'
        + ('' if host['spin'] else ' Threads of onnxruntime did not spin.'),
        '',
        'Milliseconds an image: median (p10 to p90; p99). The last column is of the fastest backend.',
    ]
    for group in dict.fromkeys((cell.size, cell.threads) for cell in cells):
        mine = [cell for cell in cells if (cell.size, cell.threads) == group]
        backends = list(dict.fromkeys(cell.backend for cell in mine))
        where = f'{group[1]} thread{"s" if group[1] > 1 else ""}' if group[1] else host['gpu']
        lines += ['', f'## {_by(group[0])}, {where}', '']
        lines += ['| ' + ' | '.join(['method', 'parameters', *backends, 'images / s']) + ' |']
        lines += ['|---|' + '---:|' * (len(backends) + 2)]
        for method in dict.fromkeys(cell.method for cell in mine):
            row = {cell.backend: _text(cell) for cell in mine if cell.method == method}
            count = f'{bench.parameters(method):,}' if method in bench.fusers else ''
            medians = [cell.quantile(50) for cell in mine if cell.method == method and cell.times]
            rate = f'{1e3 / min(medians):,.0f}' if medians else ''
            lines.append('| ' + ' | '.join([method, count, *(row.get(b, '') for b in backends), rate]) + ' |')
        reasons = [f'- {cell.method}, {cell.backend}: {cell.skipped}' for cell in mine if cell.skipped]
        lines += ['', 'Left out:', '', *reasons] if reasons else []
    if start:
        lines += ['', f'## A process without torch that fuses colour images of {_by(size)}', '']
        lines += [
            '| method | file, MB | peak memory, MB | imports, ms | load, ms | first image, ms | whole process, ms |'
        ]
        lines += ['|---|' + '---:|' * 6]
        lines += [
            f'| {r["method"]}, {r["precision"]} | {r["file_mb"]:.2f} | {r["peak_mb"]:.0f} | {r["imports_ms"]:.0f} | '
            f'{r["load_ms"]:.0f} | {r["first_ms"]:.1f} | {r["process_ms"]:.0f} |'
            for r in start
        ]
    return '\n'.join(lines) + '\n'


def plot(cells: list[Cell], path: Path) -> None:
    """Draw the latency of every method and backend, one panel a size, at the largest number of threads."""
    threads = max(cell.threads for cell in cells)
    shown = [cell for cell in cells if cell.times and cell.threads in (threads, 0)]
    sizes = list(dict.fromkeys(cell.size for cell in shown))
    best = {}
    for cell in (cell for cell in shown if cell.size == sizes[0]):
        best[cell.method] = min(cell.quantile(50), best.get(cell.method, math.inf))
    methods = sorted(best, key=best.get)
    backends = [b for b in (*TORCH, *ONNX, *RULES.values(), *CUDA) if any(cell.backend == b for cell in shown)]
    figure = Figure(figsize=(1.6 + 4.2 * len(sizes), 1.5 + 0.5 * len(methods)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(sizes), sharex=True, sharey=True, squeeze=False)[0]
    for axis, size in zip(axes, sizes, strict=True):
        for cell in (cell for cell in shown if cell.size == size and cell.method in best):
            beside = [b for b in backends if any((c.method, c.backend) == (cell.method, b) for c in shown)]
            place = methods.index(cell.method) + 0.1 * (beside.index(cell.backend) - (len(beside) - 1) / 2)
            p10, median, p90 = map(cell.quantile, (10, 50, 90))
            style = dict(fmt='o', ms=5, lw=1, color=f'C{backends.index(cell.backend)}', label=cell.backend)
            axis.errorbar(median, place, xerr=[[median - p10], [p90 - median]], **style)
        axis.axvline(1e3 / 30, color='0.6', lw=0.8, ls='--', zorder=0)
        axis.text(1e3 / 30, 1.0, ' 30 / s', transform=axis.get_xaxis_transform(), fontsize=8, color='0.4', va='bottom')
        axis.set_xscale('log')
        axis.set_title(_by(size), fontsize=10, loc='left')
        axis.set_xlabel(f'ms an image, {threads} thread{"s" if threads > 1 else ""}', fontsize=9)
        axis.grid(axis='x', which='both', alpha=0.25)
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    handles = {backend: handles[backend] for backend in backends if backend in handles}
    figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=min(len(handles), 4), fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def build(methods: list[str], students: list[str]) -> dict[str, BaseFuser]:
    """Networks by name."""
    torch.manual_seed(0)
    fusers = {name: FUSERS[name] for name in methods if name in FUSERS}
    fusers = {name: MODELS.build(json.loads(json.dumps(config))) for name, config in fusers.items()}
    return {**{Path(s).stem: FusionInferencer(s, device='cpu').fuser for s in students}, **fusers}


def main() -> None:
    """Parse arguments, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*FUSERS, *RULES]
    parser.add_argument('--methods', nargs='+', default=known, choices=known, metavar='METHOD', help=', '.join(known))
    parser.add_argument('--student', nargs='+', default=[], help='also these: student files or recipes')
    backends = [*TORCH, *ONNX, *RULES.values(), *CUDA]
    parser.add_argument('--backends', nargs='+', default=backends, choices=backends, metavar='BACKEND')
    parser.add_argument('--sizes', nargs='+', default=['480x640', '720x1280', '1080x1920'], help='height x width')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--budget', type=float, default=4, help='seconds a cell')
    parser.add_argument('--no-spin', action='store_true', help="onnxruntime's threads sleep while they wait for work")
    parser.add_argument('--out', type=Path, default=Path('work_dirs/latency'))
    parser.add_argument('--quick', action='store_true', help='a few small cells, to see that it works')
    args = parser.parse_args()
    exported = [s for s in args.student if Path(s).suffix == '.onnx']
    if exported:
        parser.error(
            f'--student {exported[0]} is exported already; give the network it came from, which is exported here'
        )
    if args.quick:
        vars(args).update(QUICK, sizes=['64x96'], threads=[1], rounds=2, budget=0.1)
    sizes = sorted((tuple(map(int, size.split('x'))) for size in args.sizes), key=math.prod)
    warnings.filterwarnings('ignore', category=UserWarning)
    torch._inductor.config.compile_threads = 1  # its processes would stay and disturb

    host, done = dict(machine(), spin=not args.no_spin), []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(build(args.methods, args.student), Path(folder), not args.no_spin)
        wanted = [(f, b) for f in bench.fusers for b in (*TORCH, *ONNX)]
        wanted += [(r, b) for r, b in RULES.items() if r in args.methods]
        groups = [(size, threads) for size in sizes for threads in args.threads]
        if host['gpu']:
            groups += [(size, 0) for size in sizes]
        for size, threads in groups:
            kinds = wanted if threads else [(f, b) for f in bench.fusers for b in CUDA]
            cells = [Cell(m, b, size, threads) for m, b in kinds if b in args.backends]
            skip_hopeless(cells, done, args.budget)
            measure(bench, cells, args.rounds, args.budget)
            done += cells
            print(f'{_by(size)}, {f"{threads} threads" if threads else "GPU"}: {len(cells)} cells', file=sys.stderr)
        light = [c.method for c in done if c.backend == 'onnxruntime' and c.times and c.size == sizes[0]]
        start = measure_start(bench, list(dict.fromkeys(light)), sizes[0], max(args.threads))
        text = markdown(bench, done, start, host, sizes[0])
        data = dict(host=host, cells=[cell.summary(bench.parameters(cell.method)) for cell in done], start=start)
    print(text)
    for name, content in (('latency.md', text), ('latency.json', json.dumps(data, indent=1) + '\n')):
        with atomic_path(args.out / name) as temporary:
            temporary.write_text(content, encoding='utf-8')
    plot(done, args.out / 'latency.png')
    print(f'written to {args.out}', file=sys.stderr)


def _text(cell: Cell) -> str:
    if cell.skipped:
        return '–'
    p10, median, p90, p99 = (f'{value:.3g}' for value in map(cell.quantile, (10, 50, 90, 99)))
    return f'{median} ({p10} to {p90}; {p99})'


def _bytes(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in (size, (*size, 3)))


def _by(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:160]}' if lines else type(error).__name__


if __name__ == '__main__':
    main()
