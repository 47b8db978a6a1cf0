import pytest
import torch

from fusionkd.evaluation import functional as fn
from fusionkd.models.losses.edge_terms import edge_terms


def by_autograd(sources, fused):
    """What the metrics' own parts say of the inner pixels."""
    kept = weight = added = weight_added = 0.0
    for source in fn.source_edges(sources, paddings=()):
        edges = fn.compare_edges(source, fused)
        kept = kept + fn.qabf_part(edges).sum(1)
        weight = weight + fn.qabf_weight(source.edges).sum(1)
        weights = fn.nabf_weights(source.edges, floor=1e-3)
        added = added + fn.nabf_part(edges, weights).sum(1)
        weight_added = weight_added + fn.sum_pixels(weights).sum(1)
    return (kept / weight.clamp(min=1e-6)).float(), (added / weight_added).float()


def grey(*shape):
    """Levels of smooth images: with whole ones equal edges, and edges without a horizontal part, are common."""
    noise = torch.rand(*shape, dtype=torch.float64)
    return torch.nn.functional.avg_pool2d(noise, 5, 1).mul(700).sub(200).clamp(0, 255)


@pytest.mark.parametrize('kind', ['levels', 'whole levels', 'a copy', 'black', 'more noise'])
def test_values_and_gradients_are_those_of_the_metrics(kind):
    torch.manual_seed(0)
    sources = grey(2, 2, 150, 60)  # more rows than a strip has
    if kind == 'whole levels':
        sources = sources.round()
    fused = {
        'a copy': sources[:, :1],
        'black': torch.zeros_like(sources[:, :1]),
        'more noise': sources.mean(1, keepdim=True) + 9 * torch.randn(2, 1, 146, 56, dtype=torch.float64),
    }.get(kind, sources.amax(1, keepdim=True))
    weights = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    found = []
    for terms in (edge_terms, by_autograd):
        x = fused.clone().requires_grad_()
        values = torch.stack(terms(sources, x))
        (values * weights).sum().backward()
        found.append((values.detach(), x.grad))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-15, rtol=1e-9)
    assert found[0][1].any() == (kind != 'black')


def test_black_sources_have_no_edges_to_keep():
    fused = torch.rand(1, 1, 16, 16, requires_grad=True)
    qabf, nabf = edge_terms(torch.zeros(1, 2, 16, 16), fused)
    (qabf + nabf).sum().backward()
    assert qabf == 0 and nabf > 0 and fused.grad.isfinite().all()


def test_sources_have_no_gradient():
    with pytest.raises(ValueError, match='fused image only; detach the sources'):
        edge_terms(torch.rand(1, 2, 16, 16, requires_grad=True), torch.rand(1, 1, 16, 16))
