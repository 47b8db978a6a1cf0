"""The cache of a teacher's images: exact under crop and flip, never stale, shared by runs."""

import os
import threading

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from fusionkd.datasets import PairedFusionDataset, SyntheticScenes
from fusionkd.engine.checkpoint import fingerprint
from fusionkd.models.distillers import FusionDistiller

GUIDE = dict(name='guide', loss=dict(type='L1Loss'))
SELF = dict(name='self', loss=dict(type='FusionLoss', window=11))
MOVED = [
    dict(type='RandomCropPair', size=(40, 48)),
    dict(type='RandomFlipPair', horizontal=0.5, vertical=0.5),
    dict(type='PackFusionInputs'),
]


@pytest.fixture
def pairs(tmp_path):
    """A data set of three small pairs on disk, and where they are."""
    rng = np.random.default_rng(0)
    for kind, shape in (('ir', (48, 64)), ('vi', (48, 64, 3))):
        (tmp_path / 'train' / kind).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(tmp_path / 'train' / kind / f'{i}.png'), rng.integers(0, 256, shape, dtype=np.uint8))

    def build(*steps, **options):
        pipeline = [dict(type='LoadImagePair', **options), *(steps or MOVED)]
        return PairedFusionDataset(data_root=str(tmp_path), pipeline=pipeline)

    build.root = tmp_path
    return build


def build(cache, terms=(GUIDE,), channels=3, seed=7, **options):
    torch.manual_seed(1)
    model = FusionDistiller(
        student=dict(type='ToyFuser'),
        teachers=[dict(type='ToyFuser', name='t', channels=channels, cache=cache, **options)],
        terms=list(terms),
    )
    torch.manual_seed(seed)
    for p in model.teachers['t'].parameters():
        torch.nn.init.normal_(p)
    model.runs = []
    model.teachers['t'].register_forward_hook(lambda m, inputs, output: model.runs.append(tuple(output.shape[-2:])))
    return model


def draw(data, *indices):
    return pseudo_collate([data[i] for i in indices])


def targets(model, data):
    """What the teacher says about a batch, as terms see it."""
    data = model.data_preprocessor(data)
    inputs, guide = data['inputs'], model.guides['t']
    rows = range(len(inputs['ir']))
    return guide.run(inputs['ir'], inputs['vis'], rows, {}, data['data_samples'], model.data_preprocessor)['fused']


def whole(model, pairs, index):
    inputs = model.data_preprocessor(pseudo_collate([pairs(dict(type='PackFusionInputs'))[index]]))['inputs']
    return model.teachers['t'].fuse(inputs['ir'], inputs['vis'])[0]


@pytest.mark.parametrize('kind', ['memory', 'disk'])
@pytest.mark.parametrize(('dtype', 'error'), [('float16', 1 / 4096), ('uint8', 1 / 510)])
def test_targets_are_crop_and_flip_of_the_teachers_whole_image(pairs, tmp_path, kind, dtype, error):
    folder = dict(folder=str(tmp_path / 'cache')) if kind == 'disk' else {}
    model, data = build(dict(type=kind, dtype=dtype, **folder)), pairs()
    np.random.seed(0)
    images = [whole(model, pairs, i) for i in range(3)]
    model.runs.clear()
    seen = set()
    for _ in range(8):
        batch = draw(data, 0, 1, 2)
        for sample, image, found in zip(batch['data_samples'], images, targets(model, batch), strict=True):
            geometry = sample.metainfo['geometry']
            (_, y, x, h, w), *flips = geometry
            expected = image[:, y : y + h, x : x + w]
            for (flip,) in flips:
                expected = expected.flip(dict(flip_x=2, flip_y=1)[flip])
            seen.add(tuple(flip for (flip,) in flips))
            assert found.shape == (1, 40, 48) and (found - expected).abs().max() <= error + 1e-6
    assert len(seen) == 4, 'every combination of flips was drawn'
    assert model.runs == [(48, 64)] * 3, 'the teacher fused every whole image once'


def test_small_images_are_extended_like_their_pair(pairs):
    model = build(dict(type='memory'))
    data = pairs(dict(type='RandomCropPair', size=(80, 96)), dict(type='PackFusionInputs'))
    image = whole(model, pairs, 0)[0].detach().numpy()
    expected = np.pad(image, [(0, 32), (0, 32)], mode='symmetric')
    assert np.abs(targets(model, draw(data, 0))[0, 0].numpy() - expected).max() < 1 / 2000


def test_targets_know_no_noise(pairs):
    model = build(dict(type='memory'))
    clean = pairs(dict(type='PackFusionInputs'))
    noisy = pairs(dict(type='SensorNoise', sigma=40, share=1.0), dict(type='PackFusionInputs'))
    np.random.seed(0)
    assert torch.equal(targets(model, draw(noisy, 0)), targets(model, draw(clean, 0)))


def test_a_whole_step_uses_it_and_the_log_is_that_of_the_targets(pairs):
    model, data = build(dict(type='memory'), [SELF, GUIDE | dict(share=0.5)]), pairs()
    np.random.seed(0)
    batch = model.data_preprocessor(draw(data, 0, 1))
    logs = model(**batch, mode='loss')
    expected = (
        model.student.fuse(batch['inputs']['ir'], batch['inputs']['vis'])[:1] - targets(model, draw(data, 0))
    ).abs()
    assert model.runs == [(48, 64)], 'the term sees half of the batch'
    assert logs['loss_guide'].isfinite() and logs['loss_guide'] != expected.mean()  # other crops
    again = model(**batch, mode='loss')
    assert torch.equal(logs['loss_guide'], again['loss_guide']) and len(model.runs) == 1
    model.loss(**batch['inputs'])
    assert model.runs[-1] == (40, 48), 'without data samples there is nothing to look up'


def test_features_come_from_the_crop_and_images_from_the_cache(pairs):
    feat = dict(name='feat', loss=dict(type='FeatureLoss'), tap_s='body', tap_t='body')
    model = build(dict(type='memory'), [GUIDE, feat])
    batch = model.data_preprocessor(draw(pairs(), 0, 1))
    live = build(None, [GUIDE, feat])
    live.load_state_dict(model.state_dict())
    model.runs.clear()
    logs = model(**batch, mode='loss')
    assert model.runs == [(40, 48), (48, 64), (48, 64)]
    other = live(**batch, mode='loss')
    assert torch.allclose(logs['loss_feat'], other['loss_feat'])
    assert not torch.equal(logs['loss_guide'], other['loss_guide'])  # the whole image has no border there


def test_drawn_scenes_are_cached_by_what_they_were_drawn_from(tmp_path):
    cache = dict(type='disk', folder=str(tmp_path))
    first, second, other = (SyntheticScenes(num=2, size=(64, 64), seed=s, pipeline=MOVED) for s in (0, 0, 1))
    model = build(cache)
    targets(model, draw(first, 0, 1))
    targets(model, draw(second, 1))
    assert len(model.runs) == 2
    targets(model, draw(other, 0))
    assert len(model.runs) == 3


class TestStale:
    @pytest.mark.parametrize('kind', ['memory', 'disk'])
    def test_a_changed_image_is_fused_again_and_replaces_the_old_one(self, pairs, tmp_path, kind):
        folder = dict(folder=str(tmp_path / 'cache')) if kind == 'disk' else {}
        model, data = build(dict(type=kind, **folder)), pairs(dict(type='PackFusionInputs'))
        before = targets(model, draw(data, 0))
        path = pairs.root / 'train/ir/0.png'
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        os.utime(path, ns=(1, 1))
        after = targets(model, draw(data, 0))
        assert len(model.runs) == 2 and (after - whole(model, pairs, 0)).abs().max() < 1e-3
        assert not torch.equal(before, after)
        if kind == 'disk':
            assert len(list((tmp_path / 'cache').rglob('*.npy'))) == 1
        else:
            store = model.guides['t'].cache.store
            assert store.used == sum(image.nbytes for _, image in store.images.values()) == 48 * 64 * 2

    def test_other_weights_options_types_and_ranges_are_other_entries(self, pairs, tmp_path):
        cache, data = dict(type='disk', folder=str(tmp_path / 'cache')), pairs()
        changes = [dict(), dict(seed=8), dict(channels=5), dict(dropout=0.5)]
        for i, change in enumerate(changes):
            model = build(cache, **change)
            targets(model, draw(data, 0))
            assert model.runs == [(48, 64)], i
        ranged = build(cache)
        targets(ranged, draw(pairs(ir_range=(0, 128)), 0))
        assert len(ranged.runs) == 1
        rounded = build(cache | dict(dtype='uint8'))
        targets(rounded, draw(data, 0))
        assert len(rounded.runs) == 1
        same = build(cache)
        targets(same, draw(data, 0))
        assert same.runs == []

    def test_fingerprints_are_of_type_config_and_weights(self):
        a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        assert fingerprint(a) == fingerprint(a) != fingerprint(b)
        assert fingerprint(a) != fingerprint(a, 'levels=3')
        b.load_state_dict(a.state_dict())
        assert fingerprint(a) == fingerprint(b)


class TestDisk:
    def test_broken_files_are_written_again(self, pairs, tmp_path):
        model, data = build(dict(type='disk', folder=str(tmp_path / 'cache'))), pairs(dict(type='PackFusionInputs'))
        expected = targets(model, draw(data, 0))
        (file,) = (tmp_path / 'cache').rglob('*.npy')
        for content in (b'', file.read_bytes()[:200], b'nonsense'):
            file.unlink()
            file.write_bytes(content)
            assert torch.equal(targets(model, draw(data, 0)), expected)
            assert torch.equal(torch.from_numpy(np.load(file)).float(), expected[0, 0])

    def test_runs_at_the_same_time_agree_and_leave_whole_files_only(self, pairs, tmp_path):
        cache, data = dict(type='disk', folder=str(tmp_path / 'cache')), pairs(dict(type='PackFusionInputs'))
        models = [build(cache) for _ in range(4)]
        batch = draw(data, 0, 1, 2)
        found = [None] * 4

        def run(i):
            for _ in range(3):
                found[i] = targets(models[i], batch)

        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(torch.equal(found[0], f) for f in found)
        files = [p.name for p in (tmp_path / 'cache').rglob('*') if p.is_file()]
        assert len(files) == 3 and not any(name.startswith('.') for name in files)


def test_a_full_memory_changes_no_target_and_says_so_once(pairs, monkeypatch):
    messages = []
    monkeypatch.setattr(
        'fusionkd.models.distillers.teacher_cache.print_log', lambda text, *a, **k: messages.append(text)
    )
    one = 48 * 64 * 2 / 2**20
    small, large = build(dict(type='memory', mb=1.5 * one)), build(dict(type='memory'))
    batch = draw(pairs(), 0, 1, 2)
    for _ in range(2):
        assert torch.equal(targets(small, batch), targets(large, batch))
    assert len(small.runs) == 5 and len(large.runs) == 3
    assert len(messages) == 1 and 'full at 1 images' in messages[0]


def test_what_cannot_be_cached_is_said():
    with pytest.raises(ValueError, match="cache of type='tape', dtype='float16'; known: memory, disk; float16, uint8"):
        build(dict(type='tape'))
    with pytest.raises(TypeError, match='mbytes'):
        build(dict(type='memory', mbytes=3))
    model = build(dict(type='memory'))
    item = SyntheticScenes(num=1, size=(64, 64), pipeline=[dict(type='PackFusionInputs')])[0]
    for sample in (item['data_samples'],):
        item['data_samples'] = type(sample)(metainfo=dict(name='x'))
    with pytest.raises(
        ValueError, match="sample 'x' does not say where it is from, which the cache of teacher 't' needs"
    ):
        model(**model.data_preprocessor(pseudo_collate([item])), mode='loss')
