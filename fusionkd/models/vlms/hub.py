"""Published vision-language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusionkd.registry import MODELS

from .base import BaseVLM, need


@MODELS.register_module()
class HubVLM(BaseVLM):
    """Any image-text-to-text model of ``transformers``: Qwen2.5-VL, InternVL, SmolVLM and others with a chat template.

    Args:
        name: of the model on the hub, such as ``'Qwen/Qwen2.5-VL-3B-Instruct'``, or a folder that holds it.
        dtype: of the weights: ``'auto'`` (the files'), ``'bfloat16'``, ``'float32'``. Default ``'auto'``.
        prompt: what the user says; ``{question}`` stands for the question. Default the question alone.
        pixels: smallest and largest number of pixels of an image, for processors that have such limits (Qwen2.5-VL).
            Default the processor's.
        lora: options of ``peft.LoraConfig``, such as ``dict(r=16, lora_alpha=32, target_modules='all-linear')``. Default
            none: all weights are trained.
        gradient_checkpointing: Default False.
        options: of ``from_pretrained``, such as ``dict(attn_implementation='sdpa')``.
        init_cfg: see :class:`BaseVLM`; on top of the hub's weights.

    Raises:
        ImportError: ``transformers`` or ``peft`` is not installed.
        ValueError: it cannot be loaded, or ``prompt`` has no ``{question}``.

    Example:
        >>> HubVLM('HuggingFaceTB/SmolVLM-256M-Instruct', lora=dict(r=8, target_modules='all-linear'))  # doctest: +SKIP
    """

    def __init__(
        self,
        name: str,
        dtype: str = 'auto',
        prompt: str = '{question}',
        pixels: tuple[int, int] | None = None,
        lora: Mapping | None = None,
        gradient_checkpointing: bool = False,
        options: Mapping | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if '{question}' not in prompt:
            raise ValueError(f'prompt={prompt!r} does not say where the question goes: put {{question}} into it')
        transformers = need('transformers')
        limits = dict(min_pixels=pixels[0], max_pixels=pixels[1]) if pixels else {}
        try:
            self.processor = transformers.AutoProcessor.from_pretrained(name, **limits)
            model = transformers.AutoModelForImageTextToText.from_pretrained(name, dtype=dtype, **(options or {}))
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f'{name!r} cannot be loaded as an image-text-to-text model ({type(error).__name__}: {error}): give a folder '
                'with its files, or a name on the hub with a connection to it'
            ) from error
        self.prompt = prompt
        tokenizer = self.processor.tokenizer
        ends = model.generation_config.eos_token_id
        ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        self.eos_ids = tuple(dict.fromkeys([tokenizer.eos_token_id, *ends]))
        self.pad_id = self.eos_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        names = ('image_token_id', 'video_token_id', 'vision_start_token_id', 'vision_end_token_id')
        found = {getattr(model.config, key, None) for key in names} | {self.pad_id}
        self.forbidden_ids = tuple(sorted(found - {None, *self.eos_ids}))
        self.adopt(model, lora, gradient_checkpointing)

    def encode(self, images: Sequence[Tensor], questions: Sequence[str], repeats: int = 1) -> dict[str, Tensor]:
        """By the model's own processor and chat template, see :class:`BaseVLM`."""
        rows = [i for i in range(len(questions)) for _ in range(repeats)]
        texts = [self.processor.apply_chat_template(self._chat(questions[i]), add_generation_prompt=True) for i in rows]
        # How image features are laid out differs between models: a repeated question is prepared as often as it is asked.
        inputs = self.processor(
            text=texts,
            images=[[images[i].cpu()] for i in rows],
            padding=True,
            padding_side='left',
            return_tensors='pt',
        )
        dtype = self.core.dtype
        return {
            name: value.to(self.device, dtype) if value.is_floating_point() else value.to(self.device)
            for name, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.processor.tokenizer(text, add_special_tokens=False)['input_ids'] for text in texts]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return [text.strip() for text in self.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _chat(self, question: str) -> list[dict]:
        text = self.prompt.replace('{question}', question)
        return [dict(role='user', content=[dict(type='image'), dict(type='text', text=text)])]
