import pytest
import torch
import torch.nn.functional as F

from fusionkd.models.losses import (
    AttentionTransferLoss,
    ChannelWiseLoss,
    FeatureLoss,
    MarginLoss,
    MaskedGenerativeLoss,
)


def bound(loss, channels_s=3, channels_t=3):
    loss.bind(channels_s, channels_t)
    return loss


def identity(loss):
    """Let the adapter do nothing."""
    torch.nn.init.dirac_(loss.adapter.weight)
    torch.nn.init.zeros_(loss.adapter.bias)
    return loss


@pytest.mark.parametrize('kind', [FeatureLoss, ChannelWiseLoss])
def test_equal_features_cost_nothing_behind_an_adapter_that_does_nothing(kind):
    feat = torch.randn(2, 3, 8, 8)
    loss = identity(bound(kind()))
    assert loss(feat, feat).item() == pytest.approx(0, abs=1e-6)
    assert loss(feat, feat + torch.randn_like(feat)) > 0


@pytest.mark.parametrize('kind', [FeatureLoss, ChannelWiseLoss, MaskedGenerativeLoss, MarginLoss])
def test_gradient_reaches_student_and_adapter_and_maps_of_other_sizes_fit(kind):
    loss = bound(kind(), 3, 5)
    feat_s, feat_t = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(2, 5, 12, 16, requires_grad=True)
    loss(feat_s, feat_t.detach()).backward()
    assert feat_s.grad.any() and feat_t.grad is None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())


class TestAttentionTransfer:
    def test_known_values(self):
        loss = AttentionTransferLoss()
        left, right = torch.zeros(2, 1, 2, 1, 2).unbind()
        left[..., 0], right[..., 1] = 3.0, 1.0
        assert loss(left, right).item() == pytest.approx(2)  # attention to places that do not overlap
        assert loss(left, -7 * left).item() == pytest.approx(0)  # neither sign nor scale matter
        both = torch.ones(1, 1, 1, 2)
        assert loss(left, both).item() == pytest.approx(2 - 2**0.5, rel=1e-5)

    def test_the_power_stresses_the_strongest(self):
        feat = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
        flat = torch.ones(1, 1, 1, 2)
        values = [AttentionTransferLoss(p)(feat, flat).item() for p in (1, 2)]
        cosines = [3 / (5 * 2) ** 0.5, 5 / (17 * 2) ** 0.5]
        assert values == pytest.approx([2 - 2 * c for c in cosines], rel=1e-5)
        with pytest.raises(ValueError, match='power must be positive'):
            AttentionTransferLoss(0)


class TestChannelWise:
    def test_it_is_the_divergence_of_the_published_formula(self):
        student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
        loss = identity(bound(ChannelWiseLoss(temperature=2.0)).double())
        p, q = (F.softmax(x.flatten(2) / 2, dim=2) for x in (teacher, student))
        expected = 4 * (p * (p / q).log()).sum() / (2 * 3)
        assert loss(student, teacher).item() == pytest.approx(expected.item(), rel=1e-6)

    def test_a_constant_of_a_channel_does_not_matter(self):
        feat = torch.randn(2, 3, 4, 5)
        loss = identity(bound(ChannelWiseLoss()))
        assert loss(feat + torch.randn(1, 3, 1, 1), feat).item() == pytest.approx(0, abs=1e-6)
        with pytest.raises(ValueError, match='temperature must be positive'):
            ChannelWiseLoss(0)


class TestMaskedGenerative:
    def test_masked_places_are_hidden_from_the_generation(self):
        loss = identity(bound(MaskedGenerativeLoss(ratio=0.5)))
        seen = []
        loss.generation.register_forward_hook(lambda m, inputs, output: seen.append(inputs[0]))
        feat = torch.rand(2, 3, 40, 40) + 1
        loss(feat, feat)
        hidden = seen[0] == 0
        assert torch.equal(hidden[:, :1].expand_as(hidden), hidden), 'a place is hidden in all channels or in none'
        assert 0.45 < hidden.float().mean() < 0.55 and torch.equal(seen[0][~hidden], feat[~hidden])

    def test_masks_are_drawn_from_its_own_generator_and_go_on_after_a_checkpoint(self):
        loss, feat = bound(MaskedGenerativeLoss(seed=3)), torch.randn(2, 3, 8, 8)
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        first = loss(feat, feat)
        assert torch.equal(torch.rand(1), expected)
        state = {k: v.clone() for k, v in loss.state_dict().items()}
        second = loss(feat, feat)
        assert not torch.equal(first, second)
        loss.load_state_dict(state)
        assert torch.equal(loss(feat, feat), second)
        with pytest.raises(ValueError, match=r'ratio must be in \[0, 1\)'):
            MaskedGenerativeLoss(ratio=1)


class TestMargin:
    def loss(self):
        loss = bound(MarginLoss(), 1, 1)
        torch.nn.init.ones_(loss.adapter[0].weight)
        return loss

    def evaluate(self, loss, student, teacher):
        """Value behind an adapter that does nothing: batch norm of evaluation mode with mean 0 and variance 1."""
        loss.eval()
        loss.adapter[1].eps = 0.0
        return loss(torch.tensor(student).view(1, 1, 1, -1), torch.tensor(teacher).view(1, 1, 1, -1)).item()

    def test_the_margin_is_the_mean_negative_response_seen_in_training(self):
        loss = self.loss()
        for values in ([-1.0, -3.0, 5.0, 7.0], [-5.0, 1.0, 1.0, 1.0]):
            feat = torch.tensor(values).view(1, 1, 2, 2)
            loss(torch.randn(1, 1, 2, 2), feat)
        assert loss.margin.tolist() == pytest.approx([-3.0])
        assert 'negative_sum' in loss.state_dict()
        loss.eval()
        loss(torch.randn(1, 1, 2, 2), feat - 100)
        assert loss.margin.tolist() == pytest.approx([-3.0])

    def test_silence_needs_no_degree(self):
        loss = self.loss()
        loss.negative_sum.fill_(-2.0)
        loss.negative_count.fill_(1.0)
        assert self.evaluate(loss, [-9.0], [-4.0]) == 0  # both silent, the student more so
        assert self.evaluate(loss, [1.0], [-4.0]) == pytest.approx(9)  # to the margin, not to the response
        assert self.evaluate(loss, [-1.0], [3.0]) == pytest.approx(16)
        assert self.evaluate(loss, [-1.0, -9.0], [3.0, -4.0]) == pytest.approx(8)
