"""Properties of ``evaluate`` for every metric and protocol: forms that agree, symmetry, ranges, batches, edge cases."""

import math

import numpy as np
import pytest
import torch

from fusionkd.evaluation import METRICS, PROTOCOLS, evaluate, get_protocol, prepare_sources, scoring
from fusionkd.evaluation import functional as fn

ALL = list(METRICS)
SIZE = (161, 170)  # the smallest that every metric takes
SMALL = (48, 53)  # too small for MS_SSIM
NAN, INF = math.nan, math.inf


def by_name(scores):
    return {name: values.tolist() for name, values in scores.items()}


def assert_same(one, other, rel=1e-9, tolerance=1e-9):
    assert list(one) == list(other)
    for name in one:
        assert other[name].tolist() == pytest.approx(one[name].tolist(), rel=rel, abs=tolerance, nan_ok=True), name


def draw_colour(draw, size):
    """uint8 ir in gray, vis and fused in colour, two of each."""
    ir, *_ = draw(*size, count=2, whole=True)
    channels = [draw(*size, count=2, whole=True, seed=seed) for seed in (1, 2, 3)]
    vis, fused = (torch.cat([c[i] for c in channels], dim=1) for i in (1, 2))
    return [image.to(torch.uint8) for image in (ir, vis, fused)]


@pytest.fixture
def colour(draw):
    return draw_colour(draw, SMALL)


@pytest.fixture(params=['small', 'large'])
def scored(request, draw):
    """Images and metrics: all but one on small images, and the one that needs large ones."""
    if request.param == 'small':
        return draw_colour(draw, SMALL), [name for name in ALL if name != 'MS_SSIM']
    return draw_colour(draw, SIZE), ['MS_SSIM']


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_all_metrics_on_a_device(scored, protocol, device):
    colour, metrics = scored
    scores = evaluate(*(image.to(device) for image in colour), protocol, metrics)
    assert list(scores) == metrics
    for name, values in scores.items():
        assert values.shape == (2,) and values.dtype == torch.float64 and values.device.type == device
        info = METRICS[name]
        assert ((values >= info.low) & (values <= info.high)).all(), name
        assert float(values[0]) != float(values[1]), name
    assert_same(evaluate(*colour, protocol, metrics), {k: v.cpu() for k, v in scores.items()}, 1e-7, 1e-7)


def test_protocols_report_their_own_metrics(colour):
    for name, protocol in PROTOCOLS.items():
        if 'MS_SSIM' not in protocol.metrics:
            assert tuple(evaluate(*colour, name)) == protocol.metrics
    assert tuple(evaluate(*colour)) == PROTOCOLS['cddfuse'].metrics
    assert get_protocol('vifb').key == 'vifb-1'


UNIT = dict(
    EN=dict(offset=1e-7), MI=dict(unit='bits'), AG=dict(divisor='inner'), MSE=dict(scale=1),
    PSNR=dict(form='peak_255_over_unit'), SSIM=dict(dynamic_range=1, reduction='sum'), Nabf=dict(floor=0),
    MS_SSIM=dict(dynamic_range=1, reduction='sum'),
)  # fmt: skip
SWITCHES = {  # options of the functions, where they are not those of protocol proper
    'cddfuse': dict(
        MI=dict(unit='nats'), PSNR=dict(form='peak_fused'),
        SSIM=dict(dynamic_range=2, window='uniform', reduction='sum'), MS_SSIM=dict(reduction='sum'),
    ),
    'tang': UNIT,
    'tang_matlab': dict(
        MI=dict(unit='bits', saturate=True), AG=dict(divisor='inner'), MSE=dict(scale=1),
        PSNR=dict(form='peak_255_over_unit'), SSIM=dict(dynamic_range=1, padding='replicate'),
    ),
    'hybridfusion': UNIT | dict(SF=dict(wrap=True)),
    'proper': dict(MI=dict(unit='bits')),
    'vifb': dict(
        MI=dict(unit='nats'), SF=dict(divisor='pixels'), AG=dict(divisor='inner'), PSNR=dict(form='rmse'),
        SSIM=dict(reduction='sum'), MS_SSIM=dict(reduction='sum'),
    ),
}  # fmt: skip


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_switches_of_the_protocols(draw, protocol):
    """Gray images: every metric is its function with the options that the protocol stands for."""
    for name in ALL:
        images = draw(*(SIZE if name == 'MS_SSIM' else SMALL), whole=True)
        for image in images:  # levels 254 and 255 beside each other, and a step that overflows 8 bits
            image[..., :4, :8] = torch.tensor([254.0, 255]).repeat(4)
            image[..., 4:8, :8] = torch.tensor([255.0, 255, 254, 0]).repeat(2)
        score = evaluate(*images, protocol, [name], data_range=255)[name]
        inputs = images if METRICS[name].needs_sources else images[2:]
        expected = getattr(fn, name.lower())(*inputs, data_range=255, **SWITCHES[protocol].get(name, {}))
        assert float(score) == pytest.approx(float(expected), rel=1e-6, abs=1e-7), name


@pytest.mark.parametrize('requires_grad', [False, True])
def test_functions_equal_the_scored_form(draw, requires_grad):
    for name in ALL:
        images = draw(*(SIZE if name == 'MS_SSIM' else SMALL), whole=True)
        score = evaluate(*images, 'proper', [name], data_range=255)[name]
        function, options = getattr(fn, name.lower()), SWITCHES['proper'].get(name, {})
        inputs = [x.clone().requires_grad_(requires_grad) for x in images]
        inputs = inputs if METRICS[name].needs_sources else inputs[2:]
        value = function(*inputs, data_range=255, **options)
        assert float(value.detach()) == pytest.approx(float(score), rel=1e-9, abs=1e-9), name
        assert value.requires_grad or not requires_grad or name in ('EN', 'MI', 'NMI', 'CE'), name


def test_vifb_is_the_mean_over_channels(colour):
    """But for SF, which sees the channels side by side."""
    ir, vis, fused = colour
    names = [name for name in ALL if name not in ('SF', 'MS_SSIM')]
    channels = [evaluate(ir, vis[:, i : i + 1], fused[:, i : i + 1], 'vifb', names) for i in range(3)]
    mean = {name: torch.stack([scores[name] for scores in channels]).mean(0) for name in names}
    assert_same(mean, evaluate(*colour, 'vifb', names))
    wide = torch.cat(fused.unbind(1), dim=-1).unsqueeze(1)
    expected = fn.sf(wide, 255, divisor='pixels')
    assert evaluate(*colour, 'vifb', ['SF'])['SF'].tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_hybridfusion_pools_channels(colour):
    fused = colour[2]
    scores = evaluate(*colour, 'hybridfusion', ['EN', 'SF'])
    assert scores['SF'].tolist() == pytest.approx(fn.sf(fused, 255, wrap=True).tolist(), rel=1e-12)
    wide = torch.cat(fused.unbind(1), dim=-1).unsqueeze(1)
    assert scores['EN'].tolist() == pytest.approx(fn.en(wide, 255, offset=1e-7).tolist(), rel=1e-12)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_sources_may_be_swapped(scored, protocol):
    colour, metrics = scored
    ir, vis, fused = colour
    assert_same(evaluate(ir, vis, fused, protocol, metrics), evaluate(vis, ir, fused, protocol, metrics))


@pytest.mark.parametrize('protocol', [p for p in PROTOCOLS if p != 'hybridfusion'])
def test_range_is_a_matter_of_units(scored, protocol):
    colour, metrics = scored
    expected = evaluate(*colour, protocol, metrics)
    for data_range, dtype in ((255, torch.float32), (255, torch.float64), (1, torch.float32), (1, torch.float64)):
        images = [x.to(dtype) * (data_range / 255) for x in colour]
        scores = evaluate(*images, protocol, metrics, data_range=data_range)
        assert by_name(scores) == by_name(expected), (data_range, dtype)


def test_hybridfusion_truncates_floats_instead_of_rounding(colour):
    """Its numbers for uint8 and for floating images differ, which is why the range alone does not matter only elsewhere."""
    ir, vis, fused = colour
    whole = evaluate(ir, vis, fused, 'hybridfusion', ['EN', 'SD'])
    below = evaluate(ir.double(), vis.double(), (fused.double() - 0.25), 'hybridfusion', ['EN', 'SD'], data_range=255)
    assert float(below['EN'][0]) == pytest.approx(float(whole['EN'][0]), abs=1e-12)  # all one level lower
    rounded = evaluate(ir.double(), vis.double(), (fused.double() - 0.25), 'proper', ['SD'], data_range=255)
    assert float(rounded['SD'][0]) == float(evaluate(ir, vis, fused, 'proper', ['SD'])['SD'][0])


def test_functions_do_not_depend_on_the_range(draw):
    for name in ALL:
        images = draw(*(SIZE if name == 'MS_SSIM' else SMALL))
        function = getattr(fn, name.lower())
        inputs = images if METRICS[name].needs_sources else images[2:]
        expected = float(function(*inputs, data_range=255))
        value = float(function(*(x / 255 for x in inputs), data_range=1))
        assert value == pytest.approx(expected, rel=1e-7, abs=1e-7), name


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_batch_is_its_images(scored, protocol, monkeypatch):
    colour, metrics = scored
    batch = evaluate(*colour, protocol, metrics)
    single = [evaluate(*(image[i] for image in colour), protocol, metrics) for i in range(2)]
    assert_same(batch, {name: torch.cat([s[name] for s in single]) for name in metrics})
    monkeypatch.setitem(scoring._GROUP_PIXELS, 'cpu', 1)
    assert_same(batch, evaluate(*colour, protocol, metrics))


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_prepared_sources_change_nothing(scored, protocol):
    colour, metrics = scored
    ir, vis, fused = colour
    sources = prepare_sources(ir, vis, protocol, metrics)
    for image in (fused, fused.flip(-1), vis):
        plain = evaluate(ir, vis, image, protocol, metrics)
        assert_same(plain, evaluate(None, None, image, protocol, sources=sources), 1e-12, 1e-12)
    some = evaluate(None, None, fused, protocol, metrics[:2], sources=sources)
    assert list(some) == metrics[:2]


@pytest.mark.parametrize('protocol', ['proper', 'vifb'])
def test_gray_and_colour_may_be_mixed(scored, protocol):
    """A gray image is a colour image with three equal channels, but for SF of vifb, which sees them side by side."""
    colour, metrics = scored
    ir, vis, fused = colour
    gray = fused[:, :1]
    expected = evaluate(ir.expand(-1, 3, -1, -1), vis, fused, protocol, metrics)
    assert_same(expected, evaluate(ir, vis, fused, protocol, metrics))
    gray_metrics = [name for name in metrics if (protocol, name) != ('vifb', 'SF')]
    expected = evaluate(ir, ir, gray.expand(-1, 3, -1, -1), protocol, gray_metrics)
    assert_same(expected, evaluate(ir, ir, gray, protocol, gray_metrics))
    sources = prepare_sources(ir, ir, protocol, metrics)
    assert_same(evaluate(ir, ir, fused, protocol, metrics), evaluate(None, None, fused, protocol, sources=sources))


@pytest.mark.parametrize('shape', ['array', 'channels last', 'no channel', 'batch'])
def test_kinds_of_images(colour, shape):
    expected = evaluate(*colour, 'proper', ['VIF'])['VIF'][0]
    ir, vis, fused = (image[0].numpy() for image in colour)
    if shape == 'channels last':
        ir, vis, fused = ir[0], vis.transpose(1, 2, 0), fused.transpose(1, 2, 0)
    elif shape == 'no channel':
        ir = torch.from_numpy(ir[0])
    elif shape == 'batch':
        ir, vis, fused = ir[None], torch.from_numpy(vis)[None], fused[None]
    assert float(evaluate(ir, vis, fused, 'proper', ['VIF'])['VIF']) == float(expected)


# Degenerate images, protocol proper: what every metric is worth then. None: any finite value.
BLACK = dict(
    EN=0, SD=0, SF=0, AG=0, EI=0, MI=0, NMI=NAN, FMI=1, CE=0, CC=NAN, SCD=NAN, MSE=0, RMSE=0, PSNR=INF, VIF=2, Qabf=NAN,
    Nabf=0, SSIM=1, MS_SSIM=1, Qcv=NAN, Qcb=NAN,
)  # fmt: skip
EQUAL = 0.9994 / (1 + math.exp(-15 * 1.5)) * 0.9879 / (1 + math.exp(-22 * 0.2))
TEXTURED = dict.fromkeys(('EN', 'SD', 'SF', 'AG', 'EI'))
DEGENERATE = {
    'all black': (('black', 'black', 'black'), BLACK),
    'all of one level': (('flat', 'flat', 'flat'), BLACK | dict(Qabf=0.9753)),
    'three levels': (
        ('dim', 'grey', 'flat'),
        BLACK | dict(FMI=0, MSE=2250, RMSE=None, PSNR=None, Qabf=None, SSIM=None, MS_SSIM=None),
    ),
    'flat fused': (
        ('ir', 'vis', 'flat'),
        dict.fromkeys(ALL) | dict.fromkeys(('EN', 'SD', 'SF', 'AG', 'EI', 'MI', 'NMI', 'FMI', 'VIF', 'Nabf'), 0)
        | dict(CC=NAN, Qcv=NAN, Qcb=NAN),
    ),
    'black fused': (
        ('ir', 'vis', 'black'),
        dict.fromkeys(ALL) | dict.fromkeys(('EN', 'SD', 'SF', 'AG', 'EI', 'MI', 'NMI', 'FMI', 'VIF', 'Nabf'), 0)
        | dict(CC=NAN, Qcb=NAN),
    ),
    'flat ir': (('flat', 'vis', 'ir'), dict.fromkeys(ALL) | dict(CC=NAN, SCD=NAN, Qcv=NAN, Qcb=NAN)),
    'flat sources': (
        ('flat', 'grey', 'vis'),
        dict.fromkeys(ALL) | dict(MI=0, NMI=0, FMI=0, CC=NAN, SCD=NAN, VIF=2, Qcv=NAN, Qcb=NAN),
    ),
    'black sources': (
        ('black', 'black', 'vis'),
        dict.fromkeys(ALL) | dict(MI=0, NMI=0, FMI=0, CC=NAN, SCD=NAN, VIF=2, Qabf=NAN, Qcv=NAN, Qcb=NAN),
    ),
    'copied ir': (('ir', 'vis', 'ir'), dict.fromkeys(ALL) | dict(SCD=NAN, Nabf=0)),
    'copied vis': (('ir', 'vis', 'vis'), dict.fromkeys(ALL) | dict(SCD=NAN, Nabf=0)),
    'identical': (
        ('vis', 'vis', 'vis'),
        TEXTURED | dict(MI=None, NMI=2, FMI=1, CE=0, CC=1, SCD=NAN, MSE=0, RMSE=0, PSNR=INF, VIF=2, Qabf=EQUAL, Nabf=0)
        | dict(SSIM=1, MS_SSIM=1, Qcv=0, Qcb=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize('case', DEGENERATE)
def test_degenerate_images(draw, case, device):
    names, expected = DEGENERATE[case]
    ir, vis, _ = draw(*SIZE, whole=True)
    levels = dict(black=0, flat=90, grey=60, dim=30)
    known = dict(ir=ir, vis=vis) | {name: torch.full_like(ir, level) for name, level in levels.items()}
    scores = evaluate(*(known[name].to(torch.uint8).to(device) for name in names), 'proper', ALL)
    assert sorted(expected) == sorted(ALL)
    for name, value in expected.items():
        if value is None:
            assert scores[name].isfinite().all(), name
        else:
            tolerance = 2e-3 if name == 'Qabf' else 1e-8
            assert float(scores[name]) == pytest.approx(value, abs=tolerance, nan_ok=True), name


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_degenerate_values_that_all_protocols_share(draw, protocol):
    ir, vis, _ = (image.to(torch.uint8) for image in draw(*SMALL, whole=True))
    flat, black = torch.full_like(ir, 90), torch.zeros_like(ir)
    assert evaluate(ir, vis, ir, protocol, ['SCD'])['SCD'].isnan().all()
    assert evaluate(ir, vis, flat, protocol, ['CC'])['CC'].isnan().all()
    for image in (ir, flat, black):
        assert evaluate(image, image, image, protocol, ['PSNR'])['PSNR'].item() == INF
    assert evaluate(flat, black, ir, protocol, ['VIF'])['VIF'].item() == 2
    assert evaluate(ir, vis, flat, protocol, ['EN'])['EN'].item() == pytest.approx(0, abs=2e-7)  # log2(1 + 1e-7)
    unweighted = evaluate(flat, flat, ir, protocol, ['Nabf'])['Nabf'].isnan().all()
    assert unweighted == (PROTOCOLS[protocol].nabf_floor == 0)


def bad(**changes):
    """Arguments of a call, one pair of 48 x 52, with changes."""
    image = torch.full((1, 1, 48, 52), 7, dtype=torch.uint8)
    return dict(ir=image, vis=image, fused=image) | changes


def levels(value, shape=(1, 1, 48, 52)):
    image = torch.full(shape, 7.0)
    image[..., 0, 0] = value
    return image


BAD = {
    'vis of another size': (
        bad(vis=torch.zeros(1, 1, 48, 64)),
        1,
        r'vis is 48 x 64 .*, ir 48 x 52; nothing is resized',
    ),
    'fused of another size': (bad(fused=torch.zeros(1, 1, 24, 26)), 1, r'fused is 24 x 26 .*, the sources 48 x 52'),
    'fused missing': (bad(fused=torch.zeros(2, 1, 48, 52)), 1, 'fused has 2 images, the sources 1'),
    'partner missing': (bad(vis=torch.zeros(3, 1, 48, 52)), 1, 'vis has 3 images, ir 1'),
    'nan': (bad(fused=levels(NAN)), 255, 'fused: has values that are not finite'),
    'inf': (bad(ir=levels(INF)), 255, 'ir: has values that are not finite'),
    'minus inf': (bad(vis=levels(-INF)), 255, 'vis: has values that are not finite'),
    'above the range': (bad(fused=levels(7)), 1, 'fused: values from 7 to 7 do not fit data_range=1'),
    'below the range': (bad(fused=levels(-0.5)), 255, 'fused: values from -0.5 to 7 do not fit'),
    'range of 1 said to be 255': (bad(fused=levels(0.25) / 7), 255, 'look like a range of 1, but data_range is 255'),
    'no range': (bad(fused=levels(0)), None, 'fused: floating images need data_range=1 or data_range=255'),
    'unknown range': (bad(fused=levels(0)), 100, 'data_range must be 1 or 255, got 100'),
    'two channels': (bad(ir=torch.zeros(1, 2, 48, 52)), 1, r'ir: cannot read shape \(1, 2, 48, 52\) as images'),
    'vector': (bad(ir=torch.zeros(48)), 1, r'ir: cannot read shape \(48,\)'),
    'empty': (bad(fused=torch.zeros(0, 1, 48, 52)), 1, 'fused: empty'),
    'channels first or last': (bad(fused=np.zeros((3, 9, 3), np.uint8)), None, r'fused: shape \(3, 9, 3\) can be read'),
    'no sources': (bad(ir=None), None, 'pass ir and vis, or sources'),
    'unknown metric': (bad(metrics=['VIF', 'VIFF']), None, r"unknown metrics \['VIFF'\]; known: EN, "),
    'one metric twice': (bad(metrics=['VIF', 'VIF']), None, 'different names'),
    'no metric': (bad(metrics=[]), None, 'at least one'),
    'unknown protocol': (bad(protocol='cdd'), None, "unknown protocol 'cdd'; known: cddfuse, tang"),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_input(case):
    arguments, data_range, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        evaluate(**arguments, data_range=data_range)


@pytest.mark.parametrize('image', ['a.png', [[0, 1]], torch.zeros(1, 1, 48, 52, dtype=torch.int64)])
def test_bad_type(image):
    with pytest.raises(
        TypeError, match=r'fused: expected (a torch.Tensor or numpy.ndarray|uint8 or a floating type), got'
    ):
        evaluate(**bad(fused=image))


SMALLEST = dict(SSIM=11, VIF=41, MS_SSIM=161, FMI=3)


@pytest.mark.parametrize(
    ('metric', 'protocol', 'side'),
    [
        *((metric, 'proper', SMALLEST.get(metric, 2)) for metric in ALL),
        ('SSIM', 'cddfuse', 7),
        ('SSIM', 'tang_matlab', 2),  # with repeated borders
    ],
)
def test_too_small_for_a_window(draw, metric, protocol, side):
    images = [image.to(torch.uint8) for image in draw(side, side, whole=True)]
    assert evaluate(*images, protocol, [metric])[metric].shape == (1,)
    for small in ([image[..., 1:] for image in images], [image[..., 1:, :] for image in images]):
        with pytest.raises(ValueError, match=rf'{metric} needs images of at least {side} x {side} pixels, got'):
            evaluate(*small, protocol, [metric])
        with pytest.raises(ValueError, match=rf'{metric} needs images of at least {side} x {side} pixels, got'):
            prepare_sources(*small[:2], protocol, [metric])


def test_functions_check_their_images(draw):
    ir, vis, fused = draw(*SIZE)
    for name in ALL:
        function = getattr(fn, name.lower())
        if METRICS[name].needs_sources:
            with pytest.raises(ValueError, match=rf'{name}: vis is \(1, 1, 161, 169\) but fused is \(1, 1, 161, 170\)'):
                function(ir, vis[..., 1:], fused, data_range=255)
        arguments = [ir, vis, fused] if METRICS[name].needs_sources else [fused]
        with pytest.raises(ValueError, match=f'{name}: data_range must be the value of white, 1 or 255, got 0'):
            function(*arguments, data_range=0)
        if name != 'SF':  # which pools channels
            with pytest.raises(ValueError, match=rf'{name}: (ir|fused) must be gray, .* got \(2, 3, 48, 52\)'):
                function(*(torch.zeros(2, 3, 48, 52) for _ in arguments), data_range=1)


def test_prepared_sources_that_do_not_fit(draw):
    ir, vis, fused = (image.to(torch.uint8) for image in draw(48, 52, whole=True))
    sources = prepare_sources(ir, vis, 'proper', ['VIF', 'EN'])
    with pytest.raises(ValueError, match="prepared for protocol 'proper', not 'cddfuse'"):
        evaluate(None, None, fused, 'cddfuse', sources=sources)
    with pytest.raises(ValueError, match=r"not prepared for \['SSIM'\]; add them"):
        evaluate(None, None, fused, 'proper', ['VIF', 'SSIM'], sources=sources)
    with pytest.raises(ValueError, match='takes the place of ir and vis'):
        evaluate(ir, vis, fused, 'proper', sources=sources)
    with pytest.raises(ValueError, match='fused is 48 x 40 pixels'):
        evaluate(None, None, fused[..., :40], 'proper', sources=sources)
