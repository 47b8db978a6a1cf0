"""Models in the layout of published ones, with random weights: loaded from a folder as those from the hub are."""

import pytest
import torch

pytest.importorskip('transformers', reason='needs the extra vlm')

import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from fusionkd.models.discriminators import VisionLanguageDiscriminator
from fusionkd.models.policies import VisionLanguagePolicy
from fusionkd.models.vlms import HubVLM

SPECIAL = [
    '<|endoftext|>',
    '<|im_start|>',
    '<|im_end|>',
    '<|vision_start|>',
    '<|vision_end|>',
    '<|image_pad|>',
    '<|video_pad|>',
]
WORDS = ['user', 'assistant', 'how', 'many', 'what', 'colour', 'is', 'it', 'say', 'red', 'blue', '1', '2']
VOCABULARY = {word: i for i, word in enumerate(SPECIAL + WORDS)}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|> {% endfor %}"
    '{% if add_generation_prompt %}<|im_start|>assistant {% endif %}'
)
TEXT = dict(
    vocab_size=len(VOCABULARY),
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
    eos_token_id=VOCABULARY['<|im_end|>'],
    pad_token_id=VOCABULARY['<|endoftext|>'],
)
TEXTS = [['red', '1 2 red'], ['blue red', '2']]


def make_tokenizer():
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token='<|endoftext|>'))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token='<|endoftext|>',
        eos_token='<|im_end|>',
        additional_special_tokens=SPECIAL[1:],
    )
    fast.chat_template = TEMPLATE
    return fast


def qwen(folder):
    """Patches of all images in one row, three rotary axes, and the type of every token."""
    config = transformers.Qwen2_5_VLConfig(
        text_config=dict(TEXT, rope_parameters=dict(rope_type='default', rope_theta=10000.0, mrope_section=[1, 1, 2])),
        vision_config=dict(
            depth=2, hidden_size=16, intermediate_size=32, num_heads=2, out_hidden_size=16, fullatt_block_indexes=[1]
        ),
        image_token_id=VOCABULARY['<|image_pad|>'],
        video_token_id=VOCABULARY['<|video_pad|>'],
        vision_start_token_id=VOCABULARY['<|vision_start|>'],
        vision_end_token_id=VOCABULARY['<|vision_end|>'],
    )
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    processor = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112),
        tokenizer=make_tokenizer(),
        video_processor=transformers.Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def llava(folder):
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**TEXT),
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        image_token_index=VOCABULARY['<|image_pad|>'],
        vision_feature_layer=-1,
    )
    model = transformers.LlavaForConditionalGeneration(config)
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(size=dict(shortest_edge=28), crop_size=28),
        tokenizer=make_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        image_token='<|image_pad|>',
        chat_template=TEMPLATE,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


@pytest.fixture(scope='module', params=[qwen, llava], ids=['qwen2.5-vl', 'llava'])
def network(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param.__name__)
    request.param(folder)
    return HubVLM(str(folder), dtype='float32', prompt='say {question}').eval()


@pytest.fixture
def queries():
    """Images of different sizes and questions of different lengths."""
    images = [torch.randint(0, 256, size, dtype=torch.uint8) for size in ((3, 56, 56), (3, 60, 112))]
    return dict(images=images, questions=['how many', 'what colour is it'], answers=['1', 'red'])


def one(queries, row):
    return {name: values[row : row + 1] for name, values in queries.items()}


def test_probabilities_do_not_depend_on_the_batch(network, queries):
    policy = VisionLanguagePolicy()
    answers = policy.project(network, queries, TEXTS)
    assert policy.render(network, queries, answers) == TEXTS
    together, mask = policy.log_prob(network, queries, answers)
    assert mask.sum(-1).tolist() == [[2, 4], [3, 2]] and (together[mask == 1] < 0).all()
    for row in range(2):
        for column in range(2):
            answers = policy.project(network, one(queries, row), [[TEXTS[row][column]]])
            alone, _ = policy.log_prob(network, one(queries, row), answers)
            torch.testing.assert_close(alone[0, 0], together[row, column, : alone.shape[-1]], atol=1e-5, rtol=1e-4)


def test_the_image_matters(network, queries):
    policy = VisionLanguagePolicy()
    answers = policy.project(network, queries, TEXTS)
    other = dict(queries, images=[255 - image for image in queries['images']])
    before, after = (policy.log_prob(network, q, answers)[0] for q in (queries, other))
    assert not torch.allclose(before, after, atol=1e-6)


def test_what_is_drawn_first_is_what_is_probable(network, queries):
    """Generation, with its cache, and the recomputed probabilities agree on the most probable answer."""
    policy = VisionLanguagePolicy(max_new_tokens=4)
    answers = policy.sample(network, queries, 2)
    assert not set(answers['ids'][answers['mask']].tolist()) & set(network.forbidden_ids)
    assert network.core.config.image_token_id in network.forbidden_ids
    ids, mask = network.generate(queries['images'], queries['questions'], 1, 4)
    logits = network(network.encode(queries['images'], queries['questions']), ids, mask)
    logits[..., list(network.forbidden_ids)] = -torch.inf
    assert torch.equal(logits.argmax(-1)[mask], ids[mask])


def test_a_discriminator_is_made_of_it(network, queries):
    discriminator = VisionLanguageDiscriminator()
    discriminator.bind(network)
    logits = discriminator(queries, TEXTS)
    alone = discriminator(one(queries, 1), [[TEXTS[1][0]]])
    torch.testing.assert_close(alone[0, 0], logits[1, 0], atol=1e-5, rtol=1e-4)
    logits.sum().backward()
    assert discriminator.network.core.get_output_embeddings().weight.grad.abs().sum() > 0


def test_loaded_weights_stay(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.init_weights()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ValueError, match='cannot be loaded as an image-text-to-text model'):
        HubVLM(str(tmp_path))
    with pytest.raises(ValueError, match='does not say where the question goes'):
        HubVLM('x', prompt='say')
