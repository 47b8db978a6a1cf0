import math

import pytest
import torch
import torch.nn.functional as F

from fusionkd.models.losses.logits import ClassLoss, DISTLoss, DKDLoss, EmbeddingLoss, GIoULoss, KDLoss, pearson

LOSSES = [
    (ClassLoss, ('labels',)),
    (KDLoss, ('target',)),
    (DKDLoss, ('target', 'labels')),
]


def batch(*shape, k=5):
    values = dict(target=2 * torch.randn(*shape, k), labels=torch.randint(k, shape))
    return 2 * torch.randn(*shape, k, requires_grad=True), values


@pytest.mark.parametrize(('kind', 'names'), LOSSES)
@pytest.mark.parametrize('shape', [(6,), (6, 2)])
def test_the_loss_is_the_mean_over_samples_and_over_their_choices(kind, names, shape):
    logits, values = batch(*shape)
    arguments = {name: values[name] for name in names}
    loss = kind()
    each = loss.per_sample(logits, **arguments)
    assert each.shape == (6,) and torch.allclose(loss(logits, **arguments), each.mean())
    flat = {name: v.flatten(0, -2) if name == 'target' else v.flatten() for name, v in arguments.items()}
    assert torch.allclose(loss(logits.flatten(0, -2), **flat), each.mean(), atol=1e-6)


def test_kd_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(9.0), 0.0]])
    expected = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert KDLoss(1.0)(student, teacher).item() == pytest.approx(expected, rel=1e-5)
    assert KDLoss(2.0)(2 * student, 2 * teacher).item() == pytest.approx(4 * expected, rel=1e-5)
    assert KDLoss()(teacher, teacher).item() == pytest.approx(0, abs=1e-6)


def test_dkd_with_the_right_weights_is_kd():
    """KL = KL of (true, others) + (1 - p_t(true)) KL among the others (equation 6 of the paper)."""
    logits, values = batch(1)
    for temperature in (1.0, 4.0):
        share = 1 - (values['target'] / temperature).softmax(-1)[0, values['labels'][0]].item()
        decoupled = DKDLoss(1.0, share, temperature)(logits, values['target'], values['labels'])
        assert torch.allclose(decoupled, KDLoss(temperature)(logits, values['target']), atol=1e-5)


def test_dist_sees_order_and_not_scale():
    p = torch.rand(8, 5).softmax(-1)
    assert DISTLoss()(p.log(), p.log()).item() == pytest.approx(0, abs=1e-5)
    x, y = torch.randn(7), torch.randn(7)
    assert pearson(x, y, 0).item() == pytest.approx(torch.corrcoef(torch.stack([x, y]))[0, 1].item(), abs=1e-5)
    assert pearson(x, 3 * x + 1, 0).item() == pytest.approx(1, abs=1e-5)
    intra = DISTLoss(inter=0.0)(p.log(), p.flip(0).log())
    assert intra > 0.01 and DISTLoss(inter=0.0, intra=0.0)(p.log(), p.flip(0).log()) == 0


def test_what_is_out_of_the_question_stays_finite():
    logits, values = batch(4)
    masked = [x.clone().detach() for x in (logits, values['target'])]
    for x in masked:
        x[:, 0] = -1e4
    labels = torch.full((4,), 2)
    masked[0].requires_grad_()
    for loss in (KDLoss(1.0)(*masked), DKDLoss()(*masked, labels), ClassLoss()(masked[0], labels)):
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, masked[0], retain_graph=True)[0]).all()


def test_embeddings_are_compared_by_direction():
    auxiliary = torch.randn(3, 2, 4)
    assert EmbeddingLoss()(5 * auxiliary[:, :1], auxiliary[:, 0]).item() == pytest.approx(0, abs=1e-6)
    cosine = F.cosine_similarity(auxiliary, auxiliary[:, :1], dim=-1)
    expected = (2 - 2 * cosine).mean(1)
    assert torch.allclose(EmbeddingLoss().per_sample(auxiliary, auxiliary[:, 0]), expected, atol=1e-5)


def test_boxes():
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 1.0]])
    true = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 1.0]])
    assert GIoULoss().per_sample(boxes, true).tolist() == pytest.approx([0, 1], abs=1e-5)


@pytest.mark.parametrize('build', [lambda: KDLoss(0), lambda: DKDLoss(temperature=-1), lambda: DISTLoss(temperature=0)])
def test_a_temperature_must_be_positive(build):
    with pytest.raises(ValueError, match='temperature must be positive'):
        build()
    with pytest.raises(ValueError, match=r'smoothing must be in \[0, 1\)'):
        ClassLoss(1.0)
