import numpy as np
import pytest

from fusionkd.rl.actions import ActionSpace, Control

OP = Control(1, options=('blur', 'noise', 'haze'))


def test_unit_box_maps_to_bounds_and_is_clipped():
    space = ActionSpace(dict(a=Control(1, 0, 2), b=Control(0, -1, 1)))
    assert space.unit.tolist() == space.initial.tolist() == [0.5, 0.5]
    assert space.step([0, 1]) == dict(a=0, b=1)
    assert space.step([-3, 9]) == dict(a=0, b=1)
    assert space.unit.tolist() == [0, 1] and space.initial.tolist() == [0.5, 0.5]


def test_numbers_come_first_and_options_by_name():
    space = ActionSpace(dict(op=OP, a=Control(0.25), who=Control(options=('x', 'y'))))
    assert space.names == ['a', 'op', 'who'] and space.box == 1 and space.choices == (3, 2) and len(space) == 3
    assert space.unit.tolist() == [0.25, 1, 0]
    assert space.values == dict(a=0.25, op='noise', who='x')
    assert space.step([0.5, 2, 1]) == dict(a=0.5, op='haze', who='y')
    assert space.step([0.5, 7, -1]) == dict(a=0.5, op='haze', who='x')
    assert space.step([0.5, 0.6, 0.4]) == dict(a=0.5, op='noise', who='x')
    only = ActionSpace(dict(op=OP))
    assert only.box == 0 and only.step([2]) == dict(op='haze')


def test_smoothing_keeps_a_share_of_old_numbers_and_of_no_choice():
    space = ActionSpace(dict(a=Control(2, 0, 2), op=OP), smoothing=0.75)
    assert space.step([0, 0]) == dict(a=pytest.approx(1.5), op='blur')
    assert space.step([0, 2]) == dict(a=pytest.approx(1.125), op='haze')


def test_bounds_replace_those_of_a_control_and_move_its_initial_value():
    space = ActionSpace(dict(a=Control(1, 0, 2), b=Control(0.5)), dict(a=(0, 0.5)))
    assert space.values == dict(a=0.5, b=0.5)
    assert space.step([0.5, 0.5]) == dict(a=0.25, b=0.5)
    assert space.controls['a'] == Control(0.5, 0, 0.5)


def test_actions_of_single_samples_leave_no_trace():
    space = ActionSpace(dict(a=Control(1, 0, 2), op=OP), smoothing=0.9)
    assert space.decode(np.array([[0, 0], [1, 2], [5, -3]])) == dict(a=[0, 2, 2], op=['blur', 'haze', 'blur'])
    assert space.decode(np.zeros((0, 2))) == dict(a=[], op=[])
    assert space.values == dict(a=1, op='noise')


def test_grid():
    grid = ActionSpace(dict(a=Control(), op=OP)).grid(2)
    assert grid.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    many = ActionSpace({str(i): Control() for i in range(9)})
    with pytest.raises(ValueError, match='1953125 combinations, more than 20000'):
        many.grid(5)
    with pytest.raises(ValueError, match='levels must be at least 2'):
        many.grid(1)


def test_encode_is_the_inverse_of_step():
    space = ActionSpace(dict(a=Control(1, -1, 3), op=OP))
    values = dict(a=2.0, op='haze')
    assert space.step([space.encode(name, value) for name, value in values.items()]) == values
    for name, value, message in (
        ('x', 1, "no control 'x'; there are: a, op"),
        ('a', 4, r"'a' must be in \[-1, 3\], got 4"),
        ('op', 'rain', "no option 'rain'; it has: blur, noise, haze"),
    ):
        with pytest.raises(ValueError, match=message):
            space.encode(name, value)


def test_state_restores_what_is_in_force():
    space, other = (ActionSpace(dict(a=Control(1, 0, 2), op=OP), smoothing=0.5) for _ in range(2))
    space.step([0, 2])
    other.load_state_dict(space.state_dict())
    assert other.values == space.values
    assert other.step([1, 0]) == space.step([1, 0])
    with pytest.raises(ValueError, match='the state has 2 controls, this space 1'):
        ActionSpace(dict(a=Control())).load_state_dict(space.state_dict())


def test_bad_options():
    with pytest.raises(ValueError, match='nothing to decide'):
        ActionSpace({})
    with pytest.raises(ValueError, match="'a': bounds must satisfy low < high"):
        ActionSpace(dict(a=Control()), dict(a=(1, 1)))
    with pytest.raises(ValueError, match=r"bounds for \['b', 'op'\].*those are: a"):
        ActionSpace(dict(a=Control(), op=OP), dict(a=(0, 1), b=(0, 1), op=(0, 1)))
    with pytest.raises(ValueError, match='smoothing'):
        ActionSpace(dict(a=Control()), smoothing=1)
    with pytest.raises(ValueError, match=r'an action has 2 elements \(a, op\), got 1'):
        ActionSpace(dict(a=Control(), op=OP)).step([1])


def test_bad_controls():
    for options, message in (
        (dict(low=1, high=1), 'low < high'),
        (dict(initial=2), r'initial must be in \[0.0, 1.0\], got 2'),
        (dict(options=('a',)), 'two distinct names'),
        (dict(options=('a', 'b', 'b')), 'two distinct names'),
        (dict(initial=2, options=('a', 'b')), 'index of one of'),
        (dict(initial=0.5, options=('a', 'b')), 'index of one of'),
    ):
        with pytest.raises(ValueError, match=message):
            Control(**options)
