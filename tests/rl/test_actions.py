import pytest

from fusionkd.rl.actions import ActionSpace


def test_unit_box_maps_to_bounds_and_is_clipped():
    space = ActionSpace(dict(a=(0, 2), b=(-1, 1)), dict(a=1, b=0))
    assert space.unit.tolist() == [0.5, 0.5]
    assert space.step([0, 1]) == dict(a=0, b=1)
    assert space.step([-3, 9]) == dict(a=0, b=1)
    assert space.unit.tolist() == [0, 1]


def test_smoothing_keeps_a_share_of_the_old_value():
    space = ActionSpace(dict(a=(0, 1)), dict(a=1.0), smoothing=0.75)
    assert space.step([0])['a'] == pytest.approx(0.75)
    assert space.step([0])['a'] == pytest.approx(0.5625)


def test_bad_options():
    with pytest.raises(ValueError, match='nothing to decide'):
        ActionSpace({}, {})
    with pytest.raises(ValueError, match="'a': bounds must satisfy low < high"):
        ActionSpace(dict(a=(1, 1)), dict(a=1))
    with pytest.raises(ValueError, match='smoothing'):
        ActionSpace(dict(a=(0, 1)), dict(a=1), smoothing=1)
