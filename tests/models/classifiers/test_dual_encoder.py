import pytest
import torch
from mmengine.structures import BaseDataElement

pytest.importorskip('open_clip', reason='needs the extra clip')

from fusionkd.models.classifiers import BoxHead, DualEncoder, PromptHead
from fusionkd.models.classifiers.heads import OUT

TINY = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, patch_size=8, width=16, head_width=8, layers=1),
    text_cfg=dict(context_length=12, vocab_size=49408, width=16, heads=2, layers=1),
)


def encoder(head, **options):
    return DualEncoder(TINY, dict(head), **options)


def test_zero_shot_logits_are_scaled_cosines():
    network = encoder(dict(type='PromptHead', classes=['Field', 'RiverLake'])).eval()
    image = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        out = network(image)
        texts = network.encode_text(['a satellite photo of a field.', 'a satellite photo of a river lake.'])
        assert torch.allclose(out.logits, network.scale * network.encode_image(image) @ texts.T, atol=1e-5)
    assert torch.allclose(out.embedding.norm(dim=1), torch.ones(3), atol=1e-5)


def test_prompts_are_encoded_once_until_the_text_encoder_changes():
    network = encoder(dict(type='PromptHead', classes=['a', 'b'], templates=['{}', 'some {}'])).eval()
    calls = []
    network.clip.token_embedding.register_forward_hook(lambda *_: calls.append(1))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        first = network(image).logits
        network(image)
        assert len(calls) == 1
        network.clip.text_projection.add_(1.0)
        assert not torch.equal(network(image).logits, first) and len(calls) == 2
    network(image)  # with gradients they are never kept
    network(image)
    assert len(calls) == 4


def test_retrieval_goes_both_ways_and_leaves_out_equal_captions():
    network = encoder(dict(type='RetrievalHead'))
    out = network(torch.rand(3, 3, 32, 32), ['a field', 'a lake', 'a field'])
    assert out.logits.shape == (3, 2, 3)
    assert torch.equal(out.logits[:, 0], out.logits[:, 1].T)
    assert out.logits[0, 0, 2] == out.logits[2, 1, 0] == OUT and out.logits[0, 0, 0] > OUT
    assert network.labels([BaseDataElement()] * 3).tolist() == [[0, 0], [1, 1], [2, 2]]
    sample = BaseDataElement(captions=['x', 'y'])
    network.predict(torch.rand(1, 3, 32, 32), [sample])
    assert sample.image_vector.shape == (16,) and sample.text_vectors.shape == (2, 16)
    with pytest.raises(ValueError, match='retrieval needs a text'):
        network(torch.rand(1, 3, 32, 32))


def test_boxes_are_the_means_of_their_choices():
    network = encoder(dict(type='BoxHead', bins=11, width=16, heads=2))
    out = network(torch.rand(2, 3, 32, 32), ['a', 'b'])
    assert out.logits.shape == (2, 4, 11) and out.boxes.shape == (2, 4)
    cx = out.logits[:, 0].softmax(-1) @ torch.linspace(0, 1, 11)
    assert torch.allclose(out.boxes[:, [0, 2]].mean(1), cx, atol=1e-6)
    sample = BaseDataElement(box=torch.tensor([0.2, 0.0, 0.6, 1.0]), text='the red square')
    assert network.labels([sample]).tolist() == [[4, 5, 4, 10]]
    network.eval().predict(torch.rand(1, 3, 32, 32), [sample])
    assert sample.pred_box.min() >= 0 and sample.pred_box.max() <= 1
    out.boxes.sum().backward()
    assert (
        network.clip.visual.conv1.weight.grad.abs().sum() > 0
        and network.clip.token_embedding.weight.grad.abs().sum() > 0
    )


def test_grounding_learns_where_a_bright_square_is():
    torch.manual_seed(0)
    network = encoder(dict(type='BoxHead', bins=8, width=32, heads=2))
    image, boxes = torch.zeros(8, 3, 32, 32), torch.zeros(8, 4)
    for i in range(8):
        x, y = 8 * (i % 4), 16 * (i // 4)
        image[i, :, y : y + 16, x : x + 8] = 1
        boxes[i] = torch.tensor([x, y, x + 8, y + 16]) / 32
    samples = [BaseDataElement(box=box) for box in boxes]
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(250):
        optimizer.zero_grad()
        out = network(image, ['square'] * 8)
        torch.nn.functional.cross_entropy(out.logits.movedim(-1, 1), network.labels(samples)).backward()
        optimizer.step()
    assert (network(image, ['square'] * 8).boxes - boxes).abs().mean() < 0.1


def test_another_head_for_the_test():
    network = encoder(dict(type='RetrievalHead'), test_head=dict(type='PromptHead', classes=['a', 'b', 'c']))
    sample = BaseDataElement()
    network.predict(torch.rand(1, 3, 32, 32), [sample])
    assert sample.logits.shape == (3,)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: DualEncoder('ViT-B-33', dict(type='RetrievalHead')), r"no model 'ViT-B-33'; similar: .*ViT-B-32"),
        (lambda: PromptHead(['a']), 'two classes or more'),
        (lambda: PromptHead(['a', 'b'], ['photo']), 'templates need {}'),
        (lambda: BoxHead(bins=1), 'bins must be 2 or more'),
        (lambda: encoder(dict(type='RetrievalHead')).encode_image(torch.rand(1, 3, 16, 16)), 'this encoder takes 32'),
        (lambda: encoder(dict(type='BoxHead')).labels([BaseDataElement()]), 'a sample has no box'),
    ],
)
def test_clear_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
