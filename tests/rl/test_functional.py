import math
from collections import defaultdict
from unittest.mock import MagicMock

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from fusionkd.rl.functional import (
    RunningMoments,
    categorical_entropy,
    categorical_kl,
    categorical_log_prob,
    clipped_policy_loss,
    clipped_value_loss,
    estimate_kl,
    explained_variance,
    generalized_advantages,
    group_policy_loss,
    group_relative_advantages,
    normal_entropy,
    normal_kl,
    normal_log_prob,
    reinforce_loss,
)


def brute_force(rewards, values, next_values, dones, truncations, gamma, lam):
    """The definition: a discounted sum of one-step errors up to the end of each episode."""
    T = len(rewards)
    errors = [rewards[t] + gamma * (1 - dones[t]) * next_values[t] - values[t] for t in range(T)]
    advantages = []
    for t in range(T):
        total, factor = 0.0, 1.0
        for k in range(t, T):
            total += factor * errors[k]
            if dones[k] or truncations[k]:
                break
            factor *= gamma * lam
        advantages.append(total)
    return advantages


@pytest.mark.parametrize('lam', [0.0, 0.7, 1.0])
def test_advantages_equal_their_definition(lam):
    g = torch.Generator().manual_seed(0)
    rewards, values, following = torch.randn(3, 12, generator=g, dtype=torch.float64)
    dones, cut = torch.zeros(2, 12, dtype=torch.float64)
    dones[[3, 8]] = 1
    cut[[5, 8]] = 1
    got = generalized_advantages(rewards, values, following, dones, cut, 0.9, lam)
    expected = brute_force(*(x.tolist() for x in (rewards, values, following, dones, cut)), 0.9, lam)
    assert got.tolist() == pytest.approx(expected)
    pairs = [torch.stack([x, x.flip(0)], dim=1) for x in (rewards, values, following, dones, cut)]
    assert torch.equal(generalized_advantages(*pairs, 0.9, lam)[:, 0], got)  # several environments side by side
    assert torch.equal(
        generalized_advantages(rewards, values, following, dones, None, 0.9, lam),
        generalized_advantages(rewards, values, following, dones, torch.zeros(12), 0.9, lam),
    )


def test_advantages_of_lambda_one_are_returns_minus_values():
    rewards, values = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 0.1, 0.2])
    following = torch.tensor([0.1, 0.2, 9.0])
    got = generalized_advantages(rewards, values, following, torch.tensor([0.0, 0.0, 1.0]), None, 0.5, 1.0)
    assert (got + values).tolist() == pytest.approx([1 + 1 + 1, 2 + 2, 4])


def test_advantages_of_the_true_values_are_zero():
    """A chain with reward 1 and discount 0.9: the value of k steps to go is (1 - 0.9^k) / 0.1."""
    values = torch.tensor([(1 - 0.9**k) / 0.1 for k in (4, 3, 2, 1)])
    following = torch.cat([values[1:], torch.tensor([123.0])])
    dones = torch.tensor([0.0, 0, 0, 1])
    got = generalized_advantages(torch.ones(4), values, following, dones, None, 0.9, 0.95)
    assert got.abs().max() < 1e-6


def test_group_relative_advantages():
    rewards = torch.tensor([[0.0, 1.0, 1.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    assert group_relative_advantages(rewards).tolist() == [[-1, 0, 0, 1], [0, 0, 0, 0]]
    scaled = group_relative_advantages(rewards, scale=True)
    assert scaled[0].std(unbiased=False).item() == pytest.approx(1) and scaled[1].tolist() == [0] * 4


def test_expected_reinforce_gradient_is_that_of_the_expected_reward():
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 4.0, -2.0], dtype=torch.float64)
    probabilities = logits.softmax(0)
    (exact,) = torch.autograd.grad(-(probabilities * reward).sum(), logits)
    for baseline in (0.0, 7.0):  # a baseline changes nothing on average
        log_prob = categorical_log_prob(logits.expand(3, 3), torch.arange(3))
        weighted = 3 * probabilities.detach() * (reward - baseline)
        (got,) = torch.autograd.grad(reinforce_loss(log_prob, weighted), logits)
        assert torch.allclose(got, exact)


def test_reinforce_sends_no_gradient_into_the_advantages():
    advantages = torch.tensor([1.0, -2.0], requires_grad=True)
    log_prob = torch.tensor([-0.5, -0.1], requires_grad=True)
    reinforce_loss(log_prob, advantages).backward()
    assert advantages.grad is None and log_prob.grad.tolist() == [-0.5, 1.0]


def random_group(seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, generator=g, dtype=torch.float64) * 0.5 - 1 for _ in range(4)]


def test_gradients_of_the_losses_are_right():
    log_prob, old, reference, rewards = random_group()
    log_prob.requires_grad_()
    for mask, length in ((None, None), (torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]), 5)):
        assert torch.autograd.gradcheck(
            lambda x, m=mask, n=length: group_policy_loss(x, old, reference, rewards[:, 0], m, n, beta=0.3)[0], log_prob
        )
    assert torch.autograd.gradcheck(lambda x: clipped_policy_loss(x, old, rewards)[0], log_prob)
    assert torch.autograd.gradcheck(lambda x: reinforce_loss(x, rewards), log_prob)
    assert torch.autograd.gradcheck(lambda x: clipped_value_loss(x, old, rewards), log_prob)
    for kind in ('k1', 'k2', 'k3'):
        assert torch.autograd.gradcheck(lambda x, kind=kind: estimate_kl(x, old, kind), log_prob)
    assert torch.autograd.gradcheck(lambda x: categorical_kl(x, old), log_prob)
    assert torch.autograd.gradcheck(categorical_entropy, log_prob)
    assert torch.autograd.gradcheck(lambda x: normal_kl(x, old, reference, rewards), log_prob)
    assert torch.autograd.gradcheck(lambda x: normal_log_prob(old, x, reference), log_prob)


def random_tokens(seed=0, queries=3, group=4, tokens=5):
    """Log-probabilities of three policies, near enough for some ratios to be inside and some outside of the clip."""
    g = torch.Generator().manual_seed(seed)
    base = torch.randn(queries, group, tokens, generator=g, dtype=torch.float64) - 2
    parts = [base + 0.3 * torch.randn(base.shape, generator=g, dtype=torch.float64) for _ in range(3)]
    rewards = torch.randint(0, 3, (queries, group), generator=g).double()
    lengths = torch.randint(1, tokens + 1, (queries, group, 1), generator=g)
    return *parts, rewards, (torch.arange(tokens) < lengths).double()


def test_group_loss_by_its_formula():
    log_prob, old, reference, rewards, mask = random_tokens(1)
    loss, stats = group_policy_loss(log_prob, old, reference, rewards, mask, length=7, clip=0.2, beta=0.3)
    total, clipped, count = 0.0, 0, 0
    for q in range(3):
        for i in range(4):
            advantage = rewards[q, i] - rewards[q].mean()
            for t in range(5):
                if not mask[q, i, t]:
                    continue
                ratio = math.exp(log_prob[q, i, t] - old[q, i, t])
                back = reference[q, i, t] - log_prob[q, i, t]
                total -= min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage) / (12 * 7)
                total += 0.3 * (math.exp(back) - 1 - back) / (12 * 7)
                clipped += abs(ratio - 1) > 0.2
                count += 1
    assert loss.item() == pytest.approx(float(total))
    assert stats['clipfrac'] == pytest.approx(clipped / count) and 0 < clipped < count
    assert {'approx_kl', 'clipfrac', 'ratio', 'reference_kl'} == set(stats)


def test_group_loss_by_hand():
    """Two answers of one part, rewards 2 and 0: A is 1 and -1; ratios 1.5 and 0.5 are clipped where that is the smaller."""
    old = torch.log(torch.tensor([[0.2], [0.4]]))
    log_prob = torch.log(torch.tensor([[0.3], [0.2]]))
    loss, stats = group_policy_loss(log_prob, old, log_prob, torch.tensor([2.0, 0.0]), beta=0.01)
    assert loss.item() == pytest.approx(-(1.2 - 0.8) / 2)
    assert stats['ratio'] == pytest.approx(1.0) and stats['clipfrac'] == 1 and stats['reference_kl'] == 0


def test_padding_and_length_of_the_group_loss():
    log_prob, old, reference, rewards, mask = random_tokens(2)
    loss, stats = group_policy_loss(log_prob, old, reference, rewards, mask, length=5)
    padded = [torch.cat([x * mask, torch.full((3, 4, 3), 9.0)], dim=-1) for x in (log_prob, old, reference)]
    longer, same = group_policy_loss(*padded, rewards, torch.cat([mask, torch.zeros(3, 4, 3)], -1), length=5)
    assert longer.item() == pytest.approx(loss.item()) and same == pytest.approx(stats)
    assert group_policy_loss(log_prob, old, reference, rewards, mask, length=10)[0].item() == pytest.approx(loss / 2)
    with pytest.raises(ValueError, match=r'\(3, 4, 5\) and \(3, 4, 4\)'):
        group_policy_loss(log_prob, old, reference, torch.zeros(3, 4, 4))


def test_every_part_of_the_group_loss_can_be_paid():
    log_prob, old, reference, _, mask = random_tokens(3)
    rewards = torch.randint(0, 3, log_prob.shape, generator=torch.Generator().manual_seed(0)).double()
    loss, _ = group_policy_loss(log_prob, old, reference, rewards, mask, length=7, beta=0.0)
    total = 0.0
    for q, i, t in mask.nonzero().tolist():
        there = [j for j in range(4) if mask[q, j, t]]  # answers that have this part
        advantage = rewards[q, i, t] - sum(rewards[q, j, t] for j in there) / len(there)
        ratio = (log_prob[q, i, t] - old[q, i, t]).exp()
        total -= min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage) / (12 * 7)
    assert loss.item() == pytest.approx(float(total))


def test_a_reward_for_all_parts_is_the_reward_of_the_answer():
    log_prob, old, reference, rewards, _ = random_tokens(4)
    whole = group_policy_loss(log_prob, old, reference, rewards)
    assert group_policy_loss(log_prob, old, reference, rewards[..., None].expand_as(log_prob))[0] == whole[0]


def test_an_exact_divergence_takes_the_place_of_the_estimate():
    log_prob, old, reference, rewards, mask = random_tokens(4)
    exact = torch.rand_like(log_prob)
    loss, stats = group_policy_loss(log_prob, old, reference + 99, rewards, mask, beta=0.5, divergence=exact)
    plain, _ = group_policy_loss(log_prob, old, reference, rewards, mask, beta=0.0)
    assert loss.item() == pytest.approx((plain + 0.5 * (exact * mask).sum() / (12 * 5)).item())
    assert stats['reference_kl'] == pytest.approx(((exact * mask).sum() / mask.sum()).item())


def trl_loss(log_prob, old, reference, advantages, mask, length, clip, beta):
    """The loss of trl's own trainer, whose network is replaced by what it would have said; all ``(answers, tokens)``."""
    trainer = pytest.importorskip('trl.trainer.grpo_trainer', reason='needs the extra trl')
    options = dict(loss_type='dr_grpo', max_completion_length=length, epsilon_low=clip, epsilon_high=clip, beta=beta)
    options |= dict(importance_sampling_level='token', top_entropy_quantile=1.0, off_policy_mask_threshold=None)
    options |= dict(use_vllm=False, aux_loss_enabled=False, _entropy_bonus_enabled=False)
    options |= dict(current_gradient_accumulation_steps=1, _metrics=defaultdict(lambda: defaultdict(list)))
    stub = MagicMock(**options)
    stub.args.use_bias_correction_kl, stub.args.delta = False, None
    stub.accelerator.gather.side_effect = stub.accelerator.reduce.side_effect = lambda tensor, **_: tensor
    stub._get_per_token_logps_and_entropies.return_value = log_prob, torch.zeros_like(log_prob), None
    ids = torch.zeros(mask.shape, dtype=torch.long)
    inputs = dict(prompt_ids=ids, prompt_mask=ids, completion_ids=ids, completion_mask=mask, advantages=advantages)
    inputs |= dict(old_per_token_logps=old, ref_per_token_logps=reference)
    return trainer.GRPOTrainer._compute_loss(stub, None, inputs)


@pytest.mark.parametrize('beta', [0.0, 0.01, 0.3])
def test_group_loss_equals_that_of_trl(beta):
    log_prob, old, reference, rewards, mask = (x.float() for x in random_tokens(3))
    log_prob.requires_grad_()
    mine, _ = group_policy_loss(log_prob, old, reference, rewards, mask, length=9, clip=0.2, beta=beta)
    (gradient,) = torch.autograd.grad(mine, log_prob)
    flat = [x.flatten(0, 1) for x in (log_prob, old, reference, group_relative_advantages(rewards), mask)]
    theirs = trl_loss(*flat, length=9, clip=0.2, beta=beta)
    (expected,) = torch.autograd.grad(theirs, log_prob)
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-6)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_divergence_estimates_agree_with_the_exact_one():
    p, q = torch.tensor([0.5, 0.0, -0.3]), torch.tensor([0.1, 0.4, -0.2])
    exact = categorical_kl(p, q).item()
    index = torch.multinomial(p.softmax(0), 200000, replacement=True)
    log_p, log_q = p.log_softmax(0)[index], q.log_softmax(0)[index]
    assert exact == pytest.approx(kl_divergence(Categorical(logits=p), Categorical(logits=q)).item(), rel=1e-5)
    for kind, tolerance in (('k1', 0.003), ('k2', 0.003), ('k3', 0.001)):
        assert estimate_kl(log_p, log_q, kind).mean().item() == pytest.approx(exact, abs=tolerance)
    assert estimate_kl(log_p, log_q).min() >= 0
    assert estimate_kl(log_p, log_q, 'k3').std() < 0.5 * estimate_kl(log_p, log_q, 'k1').std()
    with pytest.raises(ValueError, match="'k4'"):
        estimate_kl(log_p, log_q, 'k4')


def test_distributions_agree_with_those_of_torch():
    logits, index = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    assert torch.allclose(categorical_log_prob(logits, index), Categorical(logits=logits).log_prob(index))
    assert torch.allclose(categorical_entropy(logits), Categorical(logits=logits).entropy())
    mean, log_std, other, other_log_std, x = torch.randn(5, 7)
    p, q = Normal(mean, log_std.exp()), Normal(other, other_log_std.exp())
    assert torch.allclose(normal_log_prob(mean, log_std, x), p.log_prob(x), rtol=1e-4, atol=1e-5)
    assert torch.allclose(normal_entropy(log_std), p.entropy())
    assert torch.allclose(normal_kl(mean, log_std, other, other_log_std), kl_divergence(p, q), rtol=1e-4, atol=1e-5)


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
    assert clipped_value_loss(values, old, returns + 1, None).item() == 0.5


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
    batched = RunningMoments(3)
    for rows in data.split([1, 20, 29]):
        batched.update(rows)
    assert torch.allclose(batched.mean, moments.mean) and torch.allclose(batched.std, moments.std)
    other = RunningMoments(3)
    other.load_state_dict(moments.state_dict())
    assert torch.equal(other.normalise(data), moments.normalise(data))
    assert moments.normalise(torch.full((3,), 1e9)).max() == 5
