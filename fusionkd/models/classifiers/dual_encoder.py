"""An image and a text encoder that share a space."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from fusionkd.registry import MODELS

from .base import BaseRecognizer, Recognition

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's


@MODELS.register_module()
class DualEncoder(BaseRecognizer):
    """CLIP (Radford et al., ICML 2021) of open_clip, with a head for a task. Needs the extra ``clip``.

    Args:
        model: name of open_clip, such as ``'ViT-B-32'``, or the options of ``open_clip.CLIP`` for a small one of your own:
            ``dict(embed_dim, vision_cfg=dict(image_size, patch_size, width, layers), text_cfg=dict(context_length, width,
            heads, layers))``.
        head: config of :class:`PromptHead`, :class:`RetrievalHead` or :class:`BoxHead`.
        pretrained: open_clip's tag of weights, such as ``'openai'``; without a network, one warning and random weights.
            Default none.
        test_head: another head for predictions, such as a :class:`PromptHead` after training on captions. Default
            ``head``.
        init_cfg: see :class:`BaseRecognizer`.

    Attributes:
        clip: open_clip's module; taps are paths such as ``'clip.visual.transformer.resblocks.3'``.
        image_size: side of its images in pixels.

    Raises:
        ImportError: open_clip is not installed.
        ValueError: unknown model.
    """

    def __init__(
        self,
        model: str | Mapping,
        head: dict,
        pretrained: str | None = None,
        test_head: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.clip, self.tokenize = _create(model, pretrained)
        size = self.clip.visual.image_size
        self.image_size = size[0] if isinstance(size, tuple | list) else size
        for name, value in (('mean', _MEAN), ('std', _STD)):
            self.register_buffer(name, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        self.embedding_size = self._encode(torch.zeros(1, 3, self.image_size, self.image_size))[0].shape[1]
        self.head = MODELS.build(head)
        self.head.bind(self)
        self.test_head = None
        if test_head is not None:
            self.test_head = MODELS.build(test_head)
            self.test_head.bind(self)

    def forward(self, image: Tensor, text: Sequence[str] | None = None) -> Recognition:
        """What the head makes of a batch; ``image`` is ``(N, 3, image_size, image_size)``."""
        return self.head(self, image, text)

    def labels(self, samples: Sequence) -> Tensor:
        return self.head.labels(samples).to(self.mean.device)

    def predict(self, image: Tensor, samples: Sequence) -> None:
        (self.test_head or self.head).predict(self, image, samples)

    def example(self) -> tuple[Tensor, list[str]]:
        return torch.zeros(2, 3, self.image_size, self.image_size), ['a', 'b']

    def encode_image(self, image: Tensor) -> Tensor:
        """Unit vectors ``(N, D)``.

        Raises:
            ValueError: images of another size.
        """
        if tuple(image.shape[-2:]) != (self.image_size, self.image_size):
            size = ' x '.join(map(str, image.shape[-2:]))
            raise ValueError(f'images are {size}, this encoder takes {self.image_size}: set size in LoadImage')
        return F.normalize(self._encode((image - self.mean) / self.std)[0], dim=-1)

    def encode_patches(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`encode_image` and the features of all patches, ``(N, L, width)``; for vision transformers.

        Raises:
            ValueError: the image encoder has no patches.
        """
        if not hasattr(self.clip.visual, 'output_tokens'):
            raise ValueError(f'{type(self.clip.visual).__name__} has no patches: grounding needs a vision transformer')
        self.clip.visual.output_tokens = True
        try:
            pooled, patches = self._encode((image - self.mean) / self.std)
        finally:
            self.clip.visual.output_tokens = False
        return F.normalize(pooled, dim=-1), patches

    def encode_text(self, text: Sequence[str]) -> Tensor:
        """Unit vectors ``(len(text), D)``; texts that are longer than the context are cut."""
        tokens = self.tokenize(list(text)).to(self.mean.device)
        return F.normalize(self.clip.encode_text(tokens), dim=-1)

    @property
    def scale(self) -> Tensor:
        """Factor of cosines in logits, at most 100 (section 2.5 of the paper)."""
        return self.clip.logit_scale.exp().clamp(max=100)

    def _encode(self, image: Tensor) -> tuple[Tensor, ...]:
        out = self.clip.visual(image)
        return out if isinstance(out, tuple) else (out,)


def _create(model: str | Mapping, pretrained: str | None) -> tuple[nn.Module, object]:
    """Network and tokenizer."""
    try:
        import open_clip  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ImportError("DualEncoder needs open_clip: pip install 'fusionkd[clip]'") from error
    if not isinstance(model, str):
        options = {key: dict(value) if isinstance(value, Mapping) else value for key, value in model.items()}
        network = open_clip.CLIP(**options)
        return network, open_clip.SimpleTokenizer(context_length=network.context_length)
    known = open_clip.list_models()
    if model not in known:
        close = difflib.get_close_matches(model, known, n=5)
        raise ValueError(
            f'open_clip has no model {model!r}; similar: {", ".join(close) or "see open_clip.list_models()"}'
        )
    try:
        network = open_clip.create_model(model, pretrained=pretrained)
    except Exception as error:  # open_clip raises whatever its download raises
        if pretrained is None:
            raise
        print_log(
            f'weights {pretrained!r} of {model} could not be loaded ({error}); random weights are in force',
            logger='current',
            level=30,
        )
        network = open_clip.create_model(model)
    return network, open_clip.get_tokenizer(model)
