"""Tokens of tiny vision-language models: masks, filters of the sampling, probabilities, cached teachers."""

import copy
import json

import pytest
import torch

pytest.importorskip('transformers', reason='needs the extra vlm')

from fusionkd.datasets.questions import WORDS, SyntheticQuestions
from fusionkd.models.policies import Answers, VisionLanguagePolicy, VisionLanguageTeacher
from fusionkd.models.vlms import TinyVLM

TINY = dict(type='TinyVLM', width=16, heads=2, layers=1, vision_layers=1)
TEXTS = [['red circle answer 2', '2'], ['nothing', 'top left answer top left']]


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return TinyVLM(width=16, heads=2, layers=2, vision_layers=1).eval()


@pytest.fixture(scope='module')
def queries():
    """Two questions of different lengths."""
    dataset = SyntheticQuestions(num=3)
    items = [dataset[0], dataset[1]]
    assert len(items[0]['question'].split()) != len(items[1]['question'].split())
    return dict(
        images=[torch.from_numpy(i['image']).permute(2, 0, 1) for i in items],
        questions=[i['question'] for i in items],
        answers=[i['answer'] for i in items],
    )


def one(queries, row):
    return {name: values[row : row + 1] for name, values in queries.items()}


def test_texts_survive_the_round_trip(network, queries):
    policy = VisionLanguagePolicy()
    answers = policy.project(network, queries, TEXTS)
    assert answers['ids'].shape == (2, 2, 6) and answers['mask'].sum(-1).tolist() == [[5, 2], [2, 6]]
    assert policy.render(network, queries, answers) == TEXTS
    short = VisionLanguagePolicy(max_new_tokens=2).project(network, queries, TEXTS)
    assert policy.render(network, queries, short) == [['red circle', '2'], ['nothing', 'top left']]


def test_image_tokens_in_a_text_are_left_out(network, queries):
    policy = VisionLanguagePolicy()
    answers = policy.project(network, queries, [['red <image> circle'], ['nothing']])
    assert policy.render(network, queries, answers) == [['red circle'], ['nothing']]
    assert network.image_id not in answers['ids'].tolist()[0][0]
    policy.log_prob(network, queries, answers)  # an image token there would ask for another image


def test_probabilities_do_not_depend_on_the_batch(network, queries):
    """Padding on both sides is not attended to: each answer alone gives what it gives in company."""
    policy = VisionLanguagePolicy()
    together, mask = policy.log_prob(network, queries, policy.project(network, queries, TEXTS))
    assert mask.tolist() == policy.project(network, queries, TEXTS)['mask'].float().tolist()
    assert (together[mask == 0] == 0).all() and (together[mask == 1] < 0).all()
    for row in range(2):
        for column in range(2):
            answers = policy.project(network, one(queries, row), [[TEXTS[row][column]]])
            alone, _ = policy.log_prob(network, one(queries, row), answers)
            torch.testing.assert_close(alone[0, 0], together[row, column, : alone.shape[-1]], atol=1e-5, rtol=1e-5)


def test_probabilities_are_those_of_one_token_after_the_other(network, queries):
    """Against the network asked again and again for its next token."""
    policy = VisionLanguagePolicy(temperature=0.7)
    answers = policy.project(network, one(queries, 0), [[TEXTS[0][0]]])
    found, _ = policy.log_prob(network, one(queries, 0), answers)
    inputs = network.encode(queries['images'][:1], queries['questions'][:1])
    for t, token in enumerate(answers['ids'][0, 0].tolist()):
        prefix = answers['ids'][0, :, :t]
        joined = network.join(inputs, prefix, torch.ones_like(prefix, dtype=torch.bool))
        expected = (network.model(**joined).logits[0, -1] / 0.7).log_softmax(-1)[token]
        torch.testing.assert_close(found[0, 0, t], expected, atol=1e-5, rtol=1e-5)


def test_the_image_matters_and_the_gradient_reaches_everything(network, queries):
    policy = VisionLanguagePolicy()
    answers = policy.project(network, queries, TEXTS)
    other = dict(queries, images=[255 - image for image in queries['images']])
    before, _ = policy.log_prob(network, queries, answers)
    assert not torch.allclose(before, policy.log_prob(network, other, answers)[0], atol=1e-4)
    twin = copy.deepcopy(network)
    (policy.log_prob(twin, queries, answers)[0].sum()).backward()
    still = [name for name, p in twin.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert all('vision_tower' in name and 'post_layernorm' in name for name in still), still


def test_samples(network, queries):
    policy = VisionLanguagePolicy(max_new_tokens=5)
    answers = policy.sample(network, queries, 3)
    ids, mask = answers['ids'], answers['mask']
    assert ids.shape == mask.shape and ids.shape[:2] == (2, 3) and ids.shape[2] <= 5 and not ids.requires_grad
    assert not set(ids[mask].tolist()) & set(network.forbidden_ids)
    for row, valid in zip(ids.flatten(0, 1).tolist(), mask.flatten(0, 1).tolist(), strict=True):
        end = row.index(network.eos_ids[0]) + 1 if network.eos_ids[0] in row else len(row)
        assert valid == [t < end for t in range(len(row))]
    torch.manual_seed(5)
    first = policy.sample(network, queries, 3)
    torch.manual_seed(5)
    assert torch.equal(first['ids'], policy.sample(network, queries, 3)['ids'])


def fixed(network, logits):
    """The network with the same next-token logits everywhere."""
    twin = copy.deepcopy(network)
    head = torch.nn.Linear(twin.hidden_size, len(twin.words))
    head.weight.data.zero_()
    head.bias.data = logits
    twin.core.set_output_embeddings(head)
    return twin


def drawn(network, queries, count, **options):
    policy = VisionLanguagePolicy(**(dict(top_p=1.0, top_k=0, repetition_penalty=1.0, max_new_tokens=1) | options))
    return policy.sample(network, one(queries, 0), count)['ids'].flatten()


def test_filters_of_the_sampling(network, queries):
    """Probabilities 0.5, 0.3, 0.15, 0.05 of four words; nothing else may be drawn where filters forbid it."""
    ids = torch.tensor([network.ids[w] for w in ('red', 'blue', 'green', 'yellow')])
    logits = torch.full((len(network.words),), -30.0)
    logits[ids] = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    twin = fixed(network, logits)
    shares = [(drawn(twin, queries, 2000) == i).float().mean().item() for i in ids]
    assert shares == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.04)
    assert set(drawn(twin, queries, 300, top_k=2).tolist()) == set(ids[:2].tolist())
    assert set(drawn(twin, queries, 300, top_p=0.9).tolist()) == set(ids[:3].tolist())
    assert set(drawn(twin, queries, 100, top_p=0.4).tolist()) == {ids[0].item()}
    cold = (drawn(twin, queries, 1000, temperature=0.5) == ids[0]).float().mean().item()
    assert cold == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), abs=0.05)
    forbidden = torch.full_like(logits, -30.0)
    forbidden[list(network.forbidden_ids)] = 5.0
    assert not set(drawn(fixed(network, forbidden), queries, 50).tolist()) & set(network.forbidden_ids)


def test_repetition_penalty(network, queries):
    """A word that stands in the question loses in its logit: positive ones are divided."""
    word = queries['questions'][0].split()[0]
    asked, other = network.ids[word], network.ids['0']
    logits = torch.full((len(network.words),), -30.0)
    logits[[asked, other]] = 4.0
    share = (drawn(fixed(network, logits), queries, 2000, repetition_penalty=2.0) == asked).float().mean().item()
    assert share == pytest.approx(1 / (1 + torch.tensor(2.0).exp().item()), abs=0.03)


def test_the_probability_is_that_of_the_full_softmax(network, queries):
    """What filters can never draw has a probability all the same."""
    logits = torch.full((len(network.words),), 0.0)
    twin = fixed(network, logits)
    policy = VisionLanguagePolicy(top_k=1)
    values, mask = policy.log_prob(twin, queries, policy.project(twin, queries, TEXTS))
    expected = -torch.tensor(float(len(network.words))).log()
    torch.testing.assert_close(values[mask == 1], expected.expand(int(mask.sum())), atol=1e-5, rtol=1e-5)


def test_answers_of_different_lengths_are_put_together(network, queries):
    policy = VisionLanguagePolicy()
    short = policy.project(network, queries, [['2'], ['red']])
    both = Answers.cat([short, policy.project(network, queries, TEXTS)])
    assert both.num == 3 and both['mask'].dtype == torch.bool
    assert policy.render(network, queries, both) == [['2', *TEXTS[0]], ['red', *TEXTS[1]]]
    state = both.state_dict()
    assert torch.equal(Answers.from_state(state)['ids'], both['ids'])


def test_prediction_is_greedy(network):
    from fusionkd.datasets.recognition_transforms import PackRecognition

    dataset = SyntheticQuestions(num=2, pipeline=[PackRecognition()])
    items = [dataset[i] for i in range(2)]
    samples = [item['data_samples'] for item in items]
    inputs = dict(image=[item['inputs']['image'] for item in items])
    policy = VisionLanguagePolicy(max_new_tokens=4)
    first = [s.prediction for s in policy.predict(network, inputs, samples)]
    assert first == [s.prediction for s in policy.predict(network, inputs, samples)]
    assert all(set(text.split()) <= set(WORDS) for text in first)
    with pytest.raises(ValueError, match='no question'):
        policy.queries(inputs, None)


def test_checkpointing_changes_no_gradient(network, queries):
    policy = VisionLanguagePolicy()
    answers = policy.project(network, queries, TEXTS)
    twin = TinyVLM(width=16, heads=2, layers=2, vision_layers=1, gradient_checkpointing=True).eval()
    twin.load_state_dict(network.state_dict())
    original = copy.deepcopy(network)
    for one_network in (original, twin):
        policy.log_prob(one_network, queries, answers)[0].sum().backward()
    for a, b in zip(original.parameters(), twin.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)
    layers = [m for m in twin.modules() if getattr(m, 'gradient_checkpointing', False)]
    assert layers and not any(m.training for m in twin.modules())
    calls = []
    for m in layers:
        if hasattr(m, '_gradient_checkpointing_func'):
            function = m._gradient_checkpointing_func
            m._gradient_checkpointing_func = lambda *a, f=function, **k: calls.append(1) or f(*a, **k)
    policy.log_prob(twin, queries, answers)
    assert calls  # layers were indeed recomputed
    calls.clear()
    policy.sample(twin, queries, 1)
    assert not calls


def test_lora(queries):
    pytest.importorskip('peft', reason='needs the extra vlm')
    lora = dict(r=2, target_modules='all-linear', init_lora_weights=False)
    network = TinyVLM(width=16, heads=2, layers=1, vision_layers=1, lora=lora).eval()
    policy = VisionLanguagePolicy(max_new_tokens=3)
    policy.log_prob(network, queries, policy.project(network, queries, TEXTS))[0].sum().backward()
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained and all('lora' in name for name in trained)
    assert policy.sample(network, queries, 2).num == 2


@pytest.mark.parametrize(
    'options',
    [
        dict(temperature=0),
        dict(top_p=0),
        dict(top_p=1.5),
        dict(top_k=-1),
        dict(repetition_penalty=0.5),
        dict(max_new_tokens=0),
    ],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f'{next(iter(options))}='):
        VisionLanguagePolicy(**options)


def test_networks_refuse_what_does_not_fit(network, queries):
    with pytest.raises(ValueError, match=r'reads images of \(3, 32, 32\), got \(3, 8, 8\)'):
        network.encode([torch.zeros(3, 8, 8, dtype=torch.uint8)], ['x'])
    with pytest.raises(ValueError, match='must be multiples of heads'):
        TinyVLM(width=10, heads=4)
    with pytest.raises(ValueError, match='without spaces'):
        TinyVLM(words=['a b'])


def test_sheets(network, queries, tmp_path):
    path = VisionLanguagePolicy().write_sheet(
        tmp_path / 'sheet', queries, [['a|b', 'c'], ['d', 'e']], [['s', 't'], ['s', 't']]
    )
    text = path.read_text()
    assert path.name == 'sheet.md' and queries['questions'][1] in text and '| s | a\\|b |' in text


class TestTeacher:
    def make(self, folder, **sampling):
        torch.manual_seed(1)
        return VisionLanguageTeacher(TINY, dict(max_new_tokens=4) | sampling, folder=folder)

    def test_responses_are_kept(self, queries, tmp_path, monkeypatch):
        first = self.make(tmp_path).respond(queries, 4)
        assert [len(row) for row in first] == [4, 4]
        files = list(tmp_path.glob('*/*.json'))
        assert len(files) == 2 and json.loads(files[0].read_text())['responses'] in first
        again = self.make(tmp_path)
        monkeypatch.setattr(again.policy, 'sample', None)  # not asked again
        assert again.respond(queries, 2) == [row[:2] for row in first]

    def test_more_are_added_to_what_is_kept(self, queries, tmp_path):
        teacher = self.make(tmp_path)
        few = teacher.respond(queries, 2)
        many = teacher.respond(queries, 5)
        assert [row[:2] for row in many] == few and teacher.respond(queries, 5) == many

    def test_another_question_weight_or_setting_is_another_entry(self, queries, tmp_path):
        self.make(tmp_path).respond(one(queries, 0), 1)
        assert len(list(tmp_path.glob('*/*.json'))) == 1
        self.make(tmp_path).respond(queries, 1)
        assert len(list(tmp_path.glob('*/*.json'))) == 2
        self.make(tmp_path, temperature=2.0).respond(one(queries, 0), 1)
        other = self.make(tmp_path)
        other.network.core.get_output_embeddings().weight.data += 1
        other.respond(one(queries, 0), 1)
        assert len(list(tmp_path.glob('*'))) == 3 and len(list(tmp_path.glob('*/*.json'))) == 4

    def test_random_generators_are_left_alone(self, queries, tmp_path):
        teacher = self.make(tmp_path)
        torch.manual_seed(3)
        teacher.respond(queries, 2)
        after = torch.rand(1)
        torch.manual_seed(3)
        assert torch.equal(after, torch.rand(1))

    def test_a_broken_file_is_written_anew(self, queries, tmp_path):
        teacher = self.make(tmp_path)
        first = teacher.respond(queries, 2)
        next(iter(tmp_path.glob('*/*.json'))).write_text('{')
        assert len(teacher.respond(queries, 2)[0]) == 2 and self.make(None).respond(queries, 2)[0]
        assert [len(row) for row in first] == [2, 2]
