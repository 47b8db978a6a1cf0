"""A vision-language model small enough for one core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusionkd.datasets.questions import WORDS
from fusionkd.registry import MODELS

from .base import BaseVLM, need

SPECIAL = ('<pad>', '<unk>', '<end>', '<image>', '<respond>')


@MODELS.register_module()
class TinyVLM(BaseVLM):
    """LLaVA of ``transformers`` with random weights, a few layers and one token a word (sizes not from a paper).

    Args:
        width: of the language model, a multiple of ``heads``. Default 64.
        layers: of the language model. Default 2.
        vision_width: of the vision transformer, a multiple of ``heads``. Default ``width``.
        vision_layers: of the vision transformer. Default 2.
        heads: of attention in both. Default 4.
        image_size: side of its images in pixels. Default 32.
        patch_size: side of a patch in pixels. Default 8.
        words: its vocabulary. Default that of :class:`SyntheticQuestions`. Unknown words are read as one and the same.
        lora: options of ``peft.LoraConfig``. Default none.
        gradient_checkpointing: Default False.
        init_cfg: see :class:`BaseVLM`.

    Raises:
        ImportError: ``transformers`` is not installed.
        ValueError: sizes that do not divide, or a word twice or with a space in it.

    Example:
        >>> TinyVLM(width=16, heads=2, layers=1, vision_layers=1).tokenize(['red circle'])  # doctest: +SKIP
        [[17, 21]]
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        vision_width: int | None = None,
        vision_layers: int = 2,
        heads: int = 4,
        image_size: int = 32,
        patch_size: int = 8,
        words: Sequence[str] = WORDS,
        lora: Mapping | None = None,
        gradient_checkpointing: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        vision_width = vision_width or width
        if width % heads or vision_width % heads or image_size % patch_size:
            raise ValueError(
                f'width {width} and vision_width {vision_width} must be multiples of heads {heads}, image_size {image_size} '
                f'of patch_size {patch_size}'
            )
        if len(set(words)) < len(words) or any(word.split() != [word] for word in words):
            raise ValueError('words must be different and without spaces')
        self.words = (*SPECIAL, *words)
        self.ids = {word: i for i, word in enumerate(self.words)}
        self.pad_id, self.unknown_id, end, self.image_id, self.respond_id = range(len(SPECIAL))
        self.eos_ids = (end,)
        self.forbidden_ids = (self.pad_id, self.unknown_id, self.image_id, self.respond_id)
        self.image_size = image_size
        self.places = (image_size // patch_size) ** 2
        transformers = need('transformers')
        shared = dict(num_attention_heads=heads, attention_dropout=0.0)
        spread = 0.6 * width**-0.5  # the usual 0.02 is meant for widths near 1000
        config = transformers.LlavaConfig(
            vision_config=transformers.CLIPVisionConfig(
                hidden_size=vision_width,
                intermediate_size=2 * vision_width,
                num_hidden_layers=vision_layers,
                image_size=image_size,
                patch_size=patch_size,
                **shared,
            ),
            text_config=transformers.LlamaConfig(
                vocab_size=len(self.words),
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=layers,
                num_key_value_heads=heads,
                max_position_embeddings=512,
                initializer_range=spread,
                pad_token_id=self.pad_id,
                bos_token_id=self.respond_id,
                eos_token_id=end,
                **shared,
            ),
            image_token_index=self.image_id,
            image_seq_length=self.places,
            vision_feature_layer=-1,
        )
        self.adopt(transformers.LlavaForConditionalGeneration(config), lora, gradient_checkpointing)

    def encode(self, images: Sequence[Tensor], questions: Sequence[str], repeats: int = 1) -> dict[str, Tensor]:
        """Image tokens, the question, and the sign to respond, see :class:`BaseVLM`.

        Raises:
            ValueError: an image of another size.
        """
        shape = (3, self.image_size, self.image_size)
        wrong = next((tuple(image.shape) for image in images if image.shape != shape), None)
        if wrong:
            raise ValueError(f'TinyVLM reads images of {shape}, got {wrong}: set size in the data set or in LoadImage')
        rows = [[*self.places * [self.image_id], *ids, self.respond_id] for ids in self.tokenize(questions)]
        length = max(map(len, rows))
        ids = torch.tensor([(length - len(row)) * [self.pad_id] + row for row in rows], device=self.device)
        mask = torch.tensor([(length - len(row)) * [0] + len(row) * [1] for row in rows], device=self.device)
        pixels = torch.stack(list(images)).to(self.device, torch.float32) / 127.5 - 1
        inputs = dict(input_ids=ids, attention_mask=mask, pixel_values=pixels)
        return {name: value.repeat_interleave(repeats, 0) for name, value in inputs.items()}

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[self.ids.get(word, self.unknown_id) for word in text.split()] for text in texts]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return [' '.join(self.words[i] for i in row if i >= len(SPECIAL)) for row in ids]
