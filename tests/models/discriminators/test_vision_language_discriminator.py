import copy

import pytest
import torch

pytest.importorskip('transformers', reason='needs the extra vlm')

from fusionkd.datasets.questions import SyntheticQuestions
from fusionkd.models.discriminators import VisionLanguageDiscriminator
from fusionkd.models.vlms import TinyVLM

TEXTS = [['red circle answer 2', '2'], ['nothing', 'top left answer top left']]


@pytest.fixture
def student():
    return TinyVLM(width=16, heads=2, layers=1, vision_layers=1)


@pytest.fixture
def queries():
    items = [SyntheticQuestions(num=3)[i] for i in (0, 1)]
    images = [torch.from_numpy(i['image']).permute(2, 0, 1) for i in items]
    return dict(images=images, questions=[i['question'] for i in items], answers=[i['answer'] for i in items])


@pytest.fixture
def discriminator(student):
    network = VisionLanguageDiscriminator()
    network.bind(student)
    return network.eval()


def test_it_is_the_student_with_another_head(student, discriminator):
    own, theirs = discriminator.network.state_dict(), student.state_dict()
    different = {name for name in own if name not in theirs or own[name].shape != theirs[name].shape}
    assert all('lm_head' in name for name in different) and different
    assert all(torch.equal(own[name], theirs[name]) for name in own if name not in different)
    assert discriminator.network.core.get_output_embeddings().weight.shape == (1, 16)
    assert not {id(p) for p in discriminator.parameters()} & {id(p) for p in student.parameters()}


def test_padding_changes_nothing(discriminator, queries):
    logits = discriminator(queries, TEXTS)
    assert logits.shape == (2, 2)
    for row in range(2):
        query = {name: values[row : row + 1] for name, values in queries.items()}
        for column in range(2):
            alone = discriminator(query, [[TEXTS[row][column]]])
            torch.testing.assert_close(alone[0, 0], logits[row, column], atol=1e-5, rtol=1e-5)


def test_it_reads_question_image_and_response(discriminator, queries):
    logits = discriminator(queries, TEXTS)
    for changed in (
        dict(queries, images=queries['images'][::-1]),
        dict(queries, questions=queries['questions'][::-1]),
    ):
        assert not torch.allclose(discriminator(changed, TEXTS), logits, atol=1e-6)
    assert not torch.allclose(discriminator(queries, [row[::-1] for row in TEXTS]), logits, atol=1e-6)


def test_it_learns_to_tell(discriminator, queries):
    optimiser = torch.optim.Adam(discriminator.parameters(), 1e-2)
    for _ in range(30):
        logits = discriminator(queries, TEXTS)
        loss = torch.nn.functional.softplus(torch.stack([-logits[:, 0], logits[:, 1]])).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    logits = discriminator(queries, TEXTS)
    assert (logits[:, 0] > 0).all() and (logits[:, 1] < 0).all()


def test_new_weights_of_the_student_are_taken_and_the_head_stays(student, discriminator, queries):
    parameters = list(discriminator.parameters())
    head = discriminator.network.core.get_output_embeddings().weight.clone()
    for parameter in student.parameters():
        parameter.data.normal_()
    discriminator.bind(student)
    assert all(a is b for a, b in zip(parameters, discriminator.parameters(), strict=True))  # optimisers hold them
    assert torch.equal(discriminator.network.core.get_output_embeddings().weight, head)
    own, theirs = discriminator.network.state_dict(), student.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in own if 'lm_head' not in name)


def test_the_file_of_the_student_is_not_loaded_into_it(student, tmp_path):
    torch.save(student.state_dict(), tmp_path / 'student.pth')
    student.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'student.pth'))
    discriminator = VisionLanguageDiscriminator()
    discriminator.bind(student)
    discriminator.init_weights()
    discriminator.bind(student)
    assert discriminator.network.core.get_output_embeddings().weight.shape == (1, 16)


def test_a_network_of_its_own(student, queries):
    cfg = dict(type='TinyVLM', width=8, heads=2, layers=1, vision_layers=1)
    discriminator = VisionLanguageDiscriminator(cfg)
    before = copy.deepcopy(discriminator.state_dict())
    discriminator.bind(student)
    assert all(torch.equal(before[name], value) for name, value in discriminator.state_dict().items())
    assert discriminator(queries, TEXTS).shape == (2, 2)
