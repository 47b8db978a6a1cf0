import math

import pytest
import torch

from fusionkd.models.losses.recognition_rewards import (
    AgreementPolicyLoss,
    AlignmentPolicyLoss,
    ConfidencePolicyLoss,
    alignment_reward,
    confidence_reward,
    guarded_confidence_reward,
    leave_one_out,
)


def test_confidence_of_known_distributions():
    uniform, sure = torch.zeros(7), torch.tensor([100.0] + [0.0] * 6)
    half = torch.tensor([0.0, 0.0, -200.0, -200.0])  # 1 bit of 2
    assert confidence_reward(uniform).item() == pytest.approx(0, abs=1e-6)
    assert confidence_reward(sure).item() == pytest.approx(1, abs=1e-6)
    assert confidence_reward(half).item() == pytest.approx(0.5, abs=1e-6)
    assert confidence_reward(torch.randn(3, 2, 7)).shape == (3, 2)


def test_confident_errors_cost_most():
    sure, unsure = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[0.2, 0.0, 0.0]])
    right, wrong = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    values = [guarded_confidence_reward(x, g).item() for x in (sure, unsure) for g in (right, wrong)]
    assert values[0] > values[2] > 1 and 0 > values[3] > values[1]
    assert values[0] == pytest.approx(2, abs=0.02) and values[1] == pytest.approx(-1, abs=0.02)
    assert guarded_confidence_reward(sure, wrong, penalty=3.0).item() < -2.9
    assert guarded_confidence_reward(torch.zeros(1, 3), right, base=0.5).item() == pytest.approx(0.5)


def test_alignment_of_known_vectors():
    centre = torch.tensor([1.0, 0.0])
    points = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]])
    assert alignment_reward(points, centre).tolist() == pytest.approx([1, 0, -1, math.sqrt(0.5)], abs=1e-6)


def test_leave_one_out_compares_with_the_others():
    assert leave_one_out(torch.tensor([[1.0, 2.0, 6.0]])).tolist() == [[1 - 4, 2 - 3.5, 6 - 1.5]]


def expected_confidence(logits, label, penalty):
    """J: the expected reward, enumerated."""
    right = torch.eye(len(logits))[label]
    return (logits.softmax(-1) * guarded_confidence_reward(logits, right, penalty)).sum()


def numerical_gradient(function, x, step=1e-3):
    grad = torch.zeros_like(x)
    for i in range(len(x)):
        shift = torch.zeros_like(x)
        shift[i] = step
        grad[i] = (function(x + shift) - function(x - shift)) / (2 * step)
    return grad


@pytest.mark.parametrize('penalty', [1.0, 3.0])
def test_the_policy_gradient_is_the_numerical_one(penalty):
    """On a policy over four options: minus the mean gradient of the loss is that of the expected reward."""
    logits = torch.tensor([0.8, -0.3, 0.1, 0.5], dtype=torch.float64)
    expected = numerical_gradient(lambda x: expected_confidence(x, 2, penalty), logits)
    batch = logits.expand(20000, 4).clone().requires_grad_()
    loss = ConfidencePolicyLoss(penalty=penalty, draws=8)
    loss(batch, torch.full((20000,), 2), batch.detach()).backward()
    assert torch.allclose(-batch.grad.sum(0), expected, atol=0.01 * expected.norm().item())


def test_without_the_path_through_the_reward_the_gradient_is_another():
    """The score part alone is the gradient at fixed confidence, not that of the expected reward."""
    logits = torch.tensor([0.8, -0.3, 0.1, 0.5])
    fixed = confidence_reward(logits)
    expected = numerical_gradient(lambda x: (1 + 2 * fixed) * x.softmax(-1)[2] - fixed, logits)
    batch = logits.expand(20000, 4).clone().requires_grad_()
    ConfidencePolicyLoss(through_reward=False)(batch, torch.full((20000,), 2), batch.detach()).backward()
    assert torch.allclose(-batch.grad.sum(0), expected, atol=0.02 * expected.norm().item())
    whole = numerical_gradient(lambda x: expected_confidence(x, 2, 1.0), logits.double())
    assert (whole - expected).norm() > 0.1 * whole.norm()


def test_a_reward_that_ignores_the_action_has_no_policy_gradient():
    """Why confidence needs its guard: the score function of an unguarded reward is zero in the mean, and here exactly."""
    logits = torch.randn(6, 4, requires_grad=True)
    loss = ConfidencePolicyLoss(through_reward=False)
    actions = loss.choose(logits)
    loss.objective(logits, logits.detach(), actions, torch.ones(actions.shape)).backward()
    assert logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize('clip', [None, 0.2])
def test_a_policy_that_is_confidently_wrong_is_turned_around(clip):
    logits = torch.tensor([[5.0, 0.0, 0.0]]).repeat(16, 1).requires_grad_()
    loss, labels = ConfidencePolicyLoss(clip=clip, draws=16), torch.ones(16, dtype=torch.long)
    optimizer = torch.optim.Adam([logits], 0.2)
    before = confidence_reward(logits).mean().item()
    lowest = before
    for _ in range(150):
        optimizer.zero_grad()
        loss(logits, labels, logits.detach().clone()).backward()
        optimizer.step()
        lowest = min(lowest, confidence_reward(logits.detach()).mean().item())
    assert lowest < 0.6 * before  # first it doubts
    assert logits.argmax(1).eq(1).all() and logits.softmax(-1)[:, 1].mean() > 0.95


def test_a_policy_that_knows_nothing_begins_to_learn():
    right = torch.tensor([[1.0, 0.0, 0.0]])
    gradients = []
    for base in (1.0, 0.0):
        logits = torch.zeros(1, 3, requires_grad=True)
        (logits.softmax(-1) * guarded_confidence_reward(logits, right, base=base)).sum().backward()
        gradients.append(logits.grad[0, 0].item())
    assert gradients[0] > 0.2 and gradients[1] == pytest.approx(0, abs=1e-6)


def test_unguarded_confidence_stays_wrong():
    logits = torch.tensor([[3.0, 0.0, 0.0]]).repeat(8, 1).requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.2)
    for _ in range(80):
        optimizer.zero_grad()
        (-confidence_reward(logits).mean()).backward()
        optimizer.step()
    assert logits.argmax(1).eq(0).all() and logits.softmax(-1)[:, 0].min() > 0.99


def test_the_teacher_can_be_the_guard():
    target = torch.tensor([[0.0, 6.0, 0.0]]).repeat(16, 1)
    logits = torch.zeros(16, 3, requires_grad=True)
    loss = AgreementPolicyLoss(draws=16)
    optimizer = torch.optim.Adam([logits], 0.2)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, target, logits.detach().clone()).backward()
        optimizer.step()
    assert logits.argmax(1).eq(1).all()


def test_clipping_stops_what_has_moved_too_far():
    old = torch.zeros(64, 3)
    far = torch.tensor([[4.0, 0.0, 0.0]]).repeat(64, 1).requires_grad_()
    loss = ConfidencePolicyLoss(clip=0.2, through_reward=False, draws=32)
    loss(far, torch.zeros(64, dtype=torch.long), old).backward()
    assert loss.stats['clipfrac'] == 1 and far.grad.abs().max() == 0


def test_neighbours_count_with_tolerance():
    logits = torch.full((1, 1, 8), -20.0)
    logits[..., 4] = 20
    for tolerance, reward in ((0, -1), (1, 2)):
        loss = ConfidencePolicyLoss(tolerance=tolerance)
        loss(logits.requires_grad_(), torch.tensor([[3]]), logits.detach())
        assert loss.stats['reward'] == pytest.approx(reward, abs=1e-3)


def test_exploring_and_following_alignment_agree():
    """The mean of REINFORCE's gradient points where the gradient of the cosine points."""
    torch.manual_seed(1)
    auxiliary, centre = torch.randn(1, 1, 6), torch.randn(1, 6)
    gradients = []
    for loss, copies in ((AlignmentPolicyLoss(sigma=0.0), 1), (AlignmentPolicyLoss(sigma=0.1, draws=64), 4000)):
        x = auxiliary.clone().requires_grad_()
        loss(x.expand(copies, 1, 6), centre.expand(copies, 6)).backward()
        gradients.append(x.grad.flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
    assert gradients[1].norm() == pytest.approx(gradients[0].norm().item(), rel=0.1)


def test_draws_resume_and_leave_the_global_generator_alone():
    loss, logits = ConfidencePolicyLoss(), torch.zeros(4, 5)
    state, before = loss.state_dict(), torch.get_rng_state()
    first = loss.choose(logits)
    assert torch.equal(before, torch.get_rng_state())
    other = ConfidencePolicyLoss(seed=9)
    other.load_state_dict(state)
    assert torch.equal(other.choose(logits), first) and not torch.equal(loss.choose(logits), first)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: ConfidencePolicyLoss(draws=1), 'draws must be 2 or more'),
        (lambda: ConfidencePolicyLoss(penalty=-1), 'penalty and base must be >= 0'),
        (lambda: ConfidencePolicyLoss(clip=0), 'clip positive'),
        (lambda: AlignmentPolicyLoss(sigma=-0.1), 'sigma must be >= 0'),
    ],
)
def test_wrong_options(build, message):
    with pytest.raises(ValueError, match=message):
        build()
