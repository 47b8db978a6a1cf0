import numpy as np
import pytest

from fusionkd.datasets import EndlessSampler, SyntheticScenes
from fusionkd.datasets.scenes import render_scene

PACK = [dict(type='PackFusionInputs')]


def test_scenes_are_those_of_the_generator_in_rgb():
    data = SyntheticScenes(num=2, size=(48, 64), seed=4, pipeline=PACK)
    item, scene = data[1], render_scene(1, 4, (48, 64))
    assert np.array_equal(item['inputs']['vis'].permute(1, 2, 0).numpy(), scene.vis[..., ::-1])
    assert np.array_equal(item['inputs']['ir'][0].numpy(), scene.ir)
    assert np.array_equal(data[1]['inputs']['ir'], item['inputs']['ir'])  # from the cache
    assert len(data) == 2 and len(list(data)) == 2
    with pytest.raises(IndexError):
        data[2]


def test_names_tell_sets_apart():
    a, b = SyntheticScenes(num=1, size=(48, 64), seed=1), SyntheticScenes(num=1, size=(48, 64), seed=2)
    assert a.get_data_info(0)['name'] != b.get_data_info(0)['name']
    with pytest.raises(ValueError, match='positive'):
        SyntheticScenes(num=0)


def test_the_sampler_can_start_anywhere():
    def take(sampler, n):
        stream = iter(sampler)
        return [next(stream) for _ in range(n)]

    first = take(EndlessSampler(range(5), seed=1), 17)
    assert sorted(first[:5]) == sorted(first[5:10]) == list(range(5)) and first[:5] != first[5:10]
    sampler = EndlessSampler(range(5), seed=1)
    sampler.skip = 7
    assert take(sampler, 10) == first[7:]
    assert take(EndlessSampler(range(5), seed=2), 17) != first
    assert take(EndlessSampler(range(3), shuffle=False), 7) == [0, 1, 2, 0, 1, 2, 0]
