"""What every vision-language model shares."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from fusionkd.engine.checkpoint import load_weights


def need(package: str) -> ModuleType:
    """Import a package of the extra ``vlm``.

    Raises:
        ImportError: it is not installed; the message says what to run.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"vision-language models need {package}: pip install 'fusionkd[vlm]'") from error


class BaseVLM(BaseModule):
    """An image-text-to-text model of ``transformers`` with what turns questions into its inputs. Needs the extra ``vlm``.

    Subclasses implement :meth:`encode`, :meth:`tokenize` and :meth:`decode`, and call :meth:`adopt`. Student, teachers and
    discriminator are all such models.

    Args:
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` loads weights strictly. Default none.

    Attributes:
        model: the network of ``transformers``, perhaps with adapters.
        eos_ids: tokens that end a response; the first is appended to texts.
        pad_id: token in padding, never attended to.
        forbidden_ids: tokens that stand for images or padding: they are never drawn and never part of a response.
    """

    model: nn.Module
    eos_ids: tuple[int, ...]
    pad_id: int
    forbidden_ids: tuple[int, ...]

    def adopt(self, model: nn.Module, lora: Mapping | None, gradient_checkpointing: bool) -> None:
        """Keep the network.

        Args:
            model: of ``transformers``.
            lora: options of ``peft.LoraConfig``: only low-rank adapters are trained. ``None`` trains everything.
            gradient_checkpointing: compute activations again in the backward pass instead of keeping them.
        """
        if gradient_checkpointing:
            # The reentrant kind needs inputs with gradients, which frozen embeddings under LoRA do not have.
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
        if lora is not None:
            peft = need('peft')
            model = peft.get_peft_model(model, peft.LoraConfig(**lora))
        self.model = model

    @property
    def core(self) -> nn.Module:
        """The network of ``transformers`` itself, below adapters."""
        return self.model.get_base_model() if hasattr(self.model, 'get_base_model') else self.model

    @property
    def hidden_size(self) -> int:
        """Width of the last hidden state."""
        return self.core.get_output_embeddings().in_features

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def encode(self, images: Sequence[Tensor], questions: Sequence[str], repeats: int = 1) -> dict[str, Tensor]:
        """Inputs of the network up to the place where a response begins, padded on the left.

        Args:
            images: B of ``(3, H, W)``, uint8 RGB, of any sizes.
            questions: B texts.
            repeats: rows of each question, one after the other.

        Returns:
            ``input_ids`` and ``attention_mask``, ``(B repeats, P)``, and what else the network wants to know of images.
        """
        raise NotImplementedError(f'{type(self).__name__} must implement encode(images, questions, repeats)')

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, with nothing added at either end."""
        raise NotImplementedError(f'{type(self).__name__} must implement tokenize(texts)')

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of tokens, without special ones."""
        raise NotImplementedError(f'{type(self).__name__} must implement decode(ids)')

    def pack(self, texts: Sequence[str], max_length: int | None = None) -> tuple[Tensor, Tensor]:
        """Responses as tokens with an end, padded on the right.

        Args:
            texts: R of them.
            max_length: longer responses lose their end. Default none.

        Returns:
            Tokens ``(R, T)`` and mask ``(R, T)``, bool.
        """
        forbidden = set(self.forbidden_ids)
        rows = [[i for i in row if i not in forbidden] + [self.eos_ids[0]] for row in self.tokenize(texts)]
        length = max(map(len, rows))
        length = length if max_length is None else min(length, max_length)
        ids = torch.full((len(rows), length), self.pad_id)
        for row, tokens in zip(ids, rows, strict=True):
            row[: min(len(tokens), length)] = torch.tensor(tokens[:length])
        counts = torch.tensor([len(row) for row in rows])
        mask = torch.arange(length) < counts[:, None]
        return ids.to(self.device), mask.to(self.device)

    def forward(self, inputs: Mapping[str, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        """Logits of the tokens of responses.

        Args:
            inputs: of :meth:`encode`, R rows.
            ids: ``(R, T)``.
            mask: ``(R, T)``, bool, False in padding.

        Returns:
            ``(R, T, V)``, float32; those at t say what the network expects at t.
        """
        return self.read(self.join(inputs, ids, mask), ids.shape[1] + 1)[:, :-1]

    def read(self, joined: Mapping[str, Tensor], last: int) -> Tensor:
        """Logits of what follows each of the ``last`` places of :meth:`join`'s inputs, ``(R, last, V)``, float32."""
        with self._recomputing():
            return self.model(**joined, logits_to_keep=last, use_cache=False).logits[:, -last:].float()

    def join(self, inputs: Mapping[str, Tensor], ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Inputs with responses behind them.

        Rotary positions are relative, so that padding between them changes nothing as long as it is not attended to.
        """
        width, length = inputs['input_ids'].shape[1], ids.shape[1]
        joined = dict(inputs)
        for name, value in inputs.items():
            if value.ndim == 2 and value.shape == inputs['input_ids'].shape:
                joined[name] = F.pad(value, (0, length))  # whatever marks image tokens: there are none in responses
        joined['input_ids'][:, width:] = torch.where(mask, ids, self.pad_id)
        joined['attention_mask'][:, width:] = mask.to(joined['attention_mask'].dtype)
        return joined

    @torch.no_grad()
    def generate(
        self,
        images: Sequence[Tensor],
        questions: Sequence[str],
        repeats: int = 1,
        max_new_tokens: int = 256,
        sampling: Mapping[str, float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Write responses.

        Args:
            images: see :meth:`encode`.
            questions: see :meth:`encode`.
            repeats: responses to each.
            max_new_tokens: longest response. Default 256.
            sampling: ``temperature``, ``top_p``, ``top_k`` and ``repetition_penalty`` to draw with; ``None`` takes the most
                probable token.

        Returns:
            Tokens ``(B repeats, T)`` and mask ``(B repeats, T)``, bool, True up to and with the token that ends a response.
        """
        inputs = self.encode(images, questions, repeats)
        options = dict(do_sample=True, **sampling) if sampling else dict(do_sample=False, repetition_penalty=1.0)
        config = need('transformers').GenerationConfig(
            **options,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(self.eos_ids),
            pad_token_id=self.pad_id,
            suppress_tokens=list(self.forbidden_ids) or None,
        )
        ids = self.model.generate(**inputs, generation_config=config)[:, inputs['input_ids'].shape[1] :]
        ended = torch.isin(ids, torch.tensor(self.eos_ids, device=ids.device)).long()
        return ids, ended.cumsum(1) - ended == 0

    @contextmanager
    def _recomputing(self) -> Iterator[None]:
        """Let layers that should compute their activations again do so although the network is in evaluation.

        ``transformers`` only does it in training; there dropout would change probabilities from one forward pass to the next.
        """
        layers = [m for m in self.model.modules() if getattr(m, 'gradient_checkpointing', False) and not m.training]
        layers = layers if torch.is_grad_enabled() else []
        for layer in layers:
            layer.training = True
        try:
            yield
        finally:
            for layer in layers:
                layer.training = False

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint strictly; other weights stay those that ``transformers`` gave or loaded."""
        cfg = self.init_cfg
        if isinstance(cfg, dict) and cfg.get('type') == 'Pretrained':
            load_weights(self, cfg['checkpoint'])
        # Not mmengine's: it would call a method of the same name of transformers, which draws weights anew.
        self._is_init = True
