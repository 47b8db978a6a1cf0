import pytest
import torch

from fusionkd.rl.functional import (
    RunningMoments,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    generalized_advantages,
)


def brute_force(rewards, values, dones, last_value, gamma, lam):
    """The definition: a discounted sum of one-step errors up to the end of each episode."""
    T = len(rewards)
    following = [*values[1:], last_value]
    errors = [rewards[t] + gamma * (1 - dones[t]) * following[t] - values[t] for t in range(T)]
    advantages = []
    for t in range(T):
        total, factor = 0.0, 1.0
        for k in range(t, T):
            total += factor * errors[k]
            if dones[k]:
                break
            factor *= gamma * lam
        advantages.append(total)
    return advantages


@pytest.mark.parametrize('lam', [0.0, 0.7, 1.0])
def test_advantages_equal_their_definition(lam):
    g = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 12, generator=g, dtype=torch.float64)
    dones = torch.zeros(12, dtype=torch.float64)
    dones[[3, 8]] = 1
    last = torch.tensor(0.4, dtype=torch.float64)
    got = generalized_advantages(rewards, values, dones, last, 0.9, lam)
    expected = brute_force(rewards.tolist(), values.tolist(), dones.tolist(), 0.4, 0.9, lam)
    assert got.tolist() == pytest.approx(expected)


def test_advantages_of_lambda_one_are_returns_minus_values():
    rewards, values = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 0.1, 0.2])
    got = generalized_advantages(rewards, values, torch.tensor([0.0, 0.0, 1.0]), torch.tensor(9.0), 0.5, 1.0)
    assert (got + values).tolist() == pytest.approx([1 + 1 + 1, 2 + 2, 4])


def test_clipped_objective_by_hand():
    old = torch.zeros(4)
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5])
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    loss, stats = clipped_policy_loss(ratio.log(), old, advantages, 0.2)
    assert loss.item() == pytest.approx(-(1.2 + 0.5 - 1.5 - 0.8) / 4)
    assert stats['clipfrac'] == 1.0
    assert stats['approx_kl'] == pytest.approx(((ratio - 1) - ratio.log()).mean().item())


def test_no_gradient_beyond_the_clip_and_a_policy_gradient_inside():
    old = torch.zeros(3)
    log_prob = torch.tensor([0.5, 0.0, 0.0], requires_grad=True)
    clipped_policy_loss(log_prob, old, torch.tensor([1.0, 2.0, -3.0]))[0].backward()
    assert log_prob.grad.tolist() == pytest.approx([0.0, -2 / 3, 1.0])


def test_clipped_value_loss_by_hand():
    values, old, returns = torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([1.0])
    assert clipped_value_loss(values, old, returns, 0.2).item() == pytest.approx(0.5 * 0.8**2)
    assert clipped_value_loss(values, old, returns, 2.0).item() == 0


def test_explained_variance():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(x, x) == 1
    assert explained_variance(torch.full((3,), 2.0), x) == 0
    assert explained_variance(x, torch.ones(3)) == 0


def test_running_moments_equal_those_of_all_data():
    data = torch.randn(50, 3) * 7 + 4
    moments = RunningMoments(3)
    for row in data:
        moments.update(row)
    assert torch.allclose(moments.mean.float(), data.mean(0), atol=1e-5)
    assert torch.allclose(moments.std.float(), data.std(0, unbiased=False), atol=1e-5)
    other = RunningMoments(3)
    other.load_state_dict(moments.state_dict())
    assert torch.equal(other.normalise(data), moments.normalise(data))
    assert moments.normalise(torch.full((3,), 1e9)).max() == 5
