"""Scores of public implementations, row by row.

The drawn triples and their rows lie in ``golden/``; photographs and theirs are read from ``FUSIONKD_DATA`` if it is there.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkd.evaluation import METRICS, PROTOCOLS, Protocol, evaluate
from fusionkd.evaluation.images import to_gray
from fusionkd.evaluation.protocols import SsimSwitch
from fusionkd.fileio import read_image

GOLDEN = Path(__file__).parent / 'golden'
DRAWN = ('synth_avg', 'synth_colour', 'synth_max', 'synth_zero_bg')
PHOTOGRAPHS = (
    'mri_pet_11_max',
    'mri_spect_11_max',
    'msrs_00537D_piafusion',
    'roadscene_037_piafusion',
    'roadscene_FLIR_00006_avg',
    'tno_03_densefuse',
    'tno_05_piafusion',
    'tno_08_u2fusion',
)
VIFB_NAMES = {
    'Avg_gradient': 'AG',
    'Cross_entropy': 'CE',
    'Edge_intensity': 'EI',
    'Entropy': 'EN',
    'Mutinf': 'MI',
    'Psnr': 'PSNR',
    'Rmse': 'RMSE',
    'Spatial_frequency': 'SF',
    'Ssim': 'SSIM',
    'Variance': 'SD',
    'Qabf': 'Qabf',
    'Qcb': 'Qcb',
    'Qcv': 'Qcv',
}

# Absolute, and relative for MSE. Single precision inside the public code decides all but EN and MI.
STATED = dict(EN=1e-9, MI=1e-9, SD=5e-6, SF=5e-6, AG=2e-6, CC=2e-6, SCD=2e-6, MSE=1e-6, PSNR=1e-5, Qabf=1e-6)
# The public code has SSIM with range 1 on 0 to 255 in single precision, which loses the variance of flat windows.
TANG = STATED | dict(VIF=1e-8, Nabf=1e-9, SSIM=3e-3, MS_SSIM=2e-4)
# Double precision throughout; the tail of the sums is all that may differ, and VIF's threshold for flat windows.
DOUBLE = dict.fromkeys(METRICS, 1e-10) | dict(VIF=1e-9)
# Batched torch code in single precision on a GPU: sums over all pixels lose digits, VIF's small variances most of all.
SINGLE_GPU = dict(
    EN=1e-6, SF=1e-6, AG=5e-6, SD=2e-5, MI=3e-5, PSNR=1e-5, MSE=1e-6, CC=2e-6, SCD=2e-6, SSIM=1e-6
) | dict(VIF=3e-4, Qabf=3e-6, Nabf=5e-7)
# A dark photograph, mostly flat. The two public runs, of one definition in single precision, differ here by 4.6e-3.
FLAT = {('msrs_00537D_piafusion', 'MS_SSIM'): 1.2e-2}


def as_they_are(ir, vis, fused):
    return ir, vis, fused


def gray_first(ir, vis, fused):
    """The benchmark's own code on images that were made gray before."""
    return [to_gray(image, 'matlab') for image in (ir, vis, fused)]


def through_a_loader(ir, vis, fused):
    """How a training loop feeds the GPU code: gray ir, colour vis and fused, to [-1, 1] and back in single precision.

    The way back leaves levels just below whole numbers, which truncation then lowers by one.
    """

    def normalise(image):
        return ((image.float() / 255 * 2 - 1 + 1) / 2 * 255).clamp(0, 255)

    vis, fused = (image.expand(-1, 3, -1, -1) for image in (vis, fused))
    return [normalise(image) for image in (to_gray(ir, 'pillow'), vis, fused)]


@dataclass(frozen=True)
class Reading:
    """How rows of one implementation are compared, or why not."""

    protocol: Protocol
    tolerances: dict[str, float]
    prepare: Callable = as_they_are
    names: dict[str, str] = field(default_factory=dict)  # of metrics, where ours differ
    excluded: dict[str, str] = field(default_factory=dict)  # row's metric: reason


READINGS = {
    'cddfuse': Reading(PROTOCOLS['cddfuse'], STATED | dict(VIF=1e-5, SSIM=5e-5)),
    'tang_py': Reading(PROTOCOLS['tang'], TANG),
    'tang_matlab': Reading(PROTOCOLS['tang_matlab'], DOUBLE),
    'hybrid_cpu': Reading(PROTOCOLS['hybridfusion'], TANG),
    'hybrid_gpu': Reading(PROTOCOLS['hybridfusion'], SINGLE_GPU),
    # Gray ir stays just off whole levels: which of two equal edges is the stronger is then up to rounding.
    'hybrid_gpu_trainpath': Reading(
        PROTOCOLS['hybridfusion'], SINGLE_GPU | dict(Qabf=4e-4, Nabf=2e-4), through_a_loader
    ),
    'ivifzoo': Reading(
        replace(PROTOCOLS['tang'], ag_divisor='pixels'),
        TANG | dict(EN=1e-6, SD=1e-5),  # both in single precision
        excluded={
            'VIF': 'filters with zero padding and a Gaussian sampled off its centre: another metric',
            'CE': 'binary cross entropy of sigmoids of grey levels: another metric',
            'NMI': 'divides by H(A) + H(B), without F: another metric',
            'EI': 'zeros around the image instead of repeated border pixels',
            'Qcb': 'neither rounds the stretched images nor has the published frequencies',
            'QNCIE': 'not a metric of this package',
            'TE': 'not a metric of this package',
            'Qy': 'not a metric of this package',
        },
    ),
    'vifb_matlab_gray': Reading(PROTOCOLS['vifb'], DOUBLE, gray_first, VIFB_NAMES),
    'vifb_matlab_rgb': Reading(PROTOCOLS['vifb'], DOUBLE, names=VIFB_NAMES),
}


def load(folder: Path, triple: str | None = None) -> list[dict]:
    rows = json.loads((folder / 'golden.json').read_text())
    return [row for row in rows if triple in (None, row['triple'])]


def load_images(folder: Path) -> list[torch.Tensor]:
    images = [read_image(folder / f'{name}.png') for name in ('ir', 'vi', 'fused')]
    return [torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1).copy())[None] for image in images]


def is_close(value: float, expected: float, metric: str, tolerance: float) -> bool:
    return abs(value - expected) <= tolerance * (abs(expected) if metric == 'MSE' else 1)


def compare(folder: Path, triple: str, device: str) -> tuple[int, list[str]]:
    """Score a triple as every implementation does: number of rows compared, and what does not agree."""
    images = [image.to(device) for image in load_images(folder / triple)]
    compared, wrong = 0, []
    for implementation, reading in READINGS.items():
        rows = [r for r in load(folder, triple) if r['implementation'] == implementation]
        rows = [r for r in rows if r['metric'] not in reading.excluded]
        if not rows:
            continue
        names = [reading.names.get(r['metric'], r['metric']) for r in rows]
        scores = evaluate(*reading.prepare(*images), reading.protocol, names, data_range=255)
        for row, name in zip(rows, names, strict=True):
            tolerance = FLAT.get((triple, name), reading.tolerances[name])
            compared += 1
            if not is_close(float(scores[name]), row['value'], name, tolerance):
                wrong.append(f'{implementation} {name}: {float(scores[name])!r} is not {row["value"]!r} +- {tolerance}')
    return compared, wrong


def count_excluded(rows: list[dict]) -> int:
    return sum(row['metric'] in READINGS[row['implementation']].excluded for row in rows)


@pytest.mark.parametrize('triple', DRAWN)
def test_drawn_triple(triple, device):
    compared, wrong = compare(GOLDEN, triple, device)
    assert not wrong, '\n'.join(wrong)
    assert compared == len(load(GOLDEN, triple)) == 79


@pytest.mark.parametrize('triple', PHOTOGRAPHS)
def test_photograph(triple, real_data, device):
    folder = real_data / 'metric_golden'
    rows = load(folder, triple)
    compared, wrong = compare(folder, triple, device)
    assert not wrong, '\n'.join(wrong)
    assert compared == len(rows) - count_excluded(rows) > 70


def test_every_row_is_compared_or_excluded(real_data):
    rows = load(real_data / 'metric_golden')
    assert {row['triple'] for row in rows} == {*DRAWN, *PHOTOGRAPHS}
    met = {(row['implementation'], row['metric']) for row in rows}
    assert {implementation for implementation, _ in met} == set(READINGS)
    excluded = {(name, metric) for name, reading in READINGS.items() for metric in reading.excluded}
    assert excluded <= met, 'reasons for rows that do not exist'
    for name, metric in met - excluded:
        assert READINGS[name].names.get(metric, metric) in READINGS[name].tolerances, f'{name} {metric} is ignored'


def test_drawn_rows_are_those_of_the_full_set(real_data):
    rows = load(real_data / 'metric_golden')
    assert load(GOLDEN) == [row for row in rows if row['triple'] in DRAWN]


def check_ssim_side_values(folder: Path, triples: tuple[str, ...]) -> None:
    """The cddfuse rows also hold SSIM in double precision, and with range 255."""
    window = dict(value_float64=2, value_data_range_255=255)
    for triple in triples:
        (row,) = [r for r in load(folder, triple) if r['implementation'] == 'cddfuse' and r['metric'] == 'SSIM']
        for key, dynamic_range in window.items():
            protocol = replace(PROTOCOLS['cddfuse'], ssim=SsimSwitch(dynamic_range, 'uniform'))
            score = evaluate(*load_images(folder / triple), protocol, ['SSIM'])['SSIM']
            assert float(score) == pytest.approx(row[key], abs=1e-9), (triple, key)


def test_drawn_ssim_in_double_precision():
    check_ssim_side_values(GOLDEN, DRAWN)


def test_photographs_ssim_in_double_precision(real_data):
    check_ssim_side_values(real_data / 'metric_golden', PHOTOGRAPHS)
