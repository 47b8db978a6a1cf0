"""What a dual encoder is used for: zero-shot classification, retrieval, grounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.datasets.recognition import readable
from fusionkd.registry import MODELS

from .base import Recognition, class_labels

if TYPE_CHECKING:
    from .dual_encoder import DualEncoder

# A logit that is out of the question, but finite: differences of two of them stay defined.
OUT = -1e4


class BaseHead(nn.Module):
    """Turns the encoders' outputs into logits.

    ``forward(encoder, image, text)`` returns a :class:`Recognition`; ``labels(samples)`` the true options;
    ``predict(encoder, image, samples)`` writes what a metric needs.
    """

    def bind(self, encoder: DualEncoder) -> None:
        """Build what depends on the encoder's sizes."""


@MODELS.register_module()
class PromptHead(BaseHead):
    """Classes by their names in sentences: zero-shot classification (CLIP, section 3.1).

    A class is the mean of its prompts' unit vectors. While nothing is trained they are encoded once.

    Args:
        classes: names in the order of their labels; ``'RiverLake'`` is read as 'river lake'.
        templates: sentences with ``{}`` where the name goes. Default ``('a satellite photo of a {}.',)``.

    Raises:
        ValueError: fewer than two classes, or a template without ``{}``.
    """

    def __init__(self, classes: Sequence[str], templates: Sequence[str] = ('a satellite photo of a {}.',)):
        super().__init__()
        if len(classes) < 2:
            raise ValueError(f'a choice needs two classes or more, got {list(classes)}')
        wrong = [t for t in templates if '{}' not in t]
        if wrong or not templates:
            raise ValueError(f'templates need {{}} where the class goes, got {wrong or list(templates)}')
        self.prompts = [template.format(readable(name)) for name in classes for template in templates]
        self.count = len(classes)
        self._kept: tuple[object, Tensor] | None = None

    def forward(self, encoder: DualEncoder, image: Tensor, text: Sequence[str] | None = None) -> Recognition:
        """Logits ``(N, K)``."""
        embedding = encoder.encode_image(image)
        return Recognition(encoder.scale * embedding @ self.class_vectors(encoder).T, embedding)

    def class_vectors(self, encoder: DualEncoder) -> Tensor:
        """Unit vectors ``(K, D)``."""
        version = (sum(p._version for p in encoder.clip.parameters()), encoder.mean.device)
        if not torch.is_grad_enabled() and self._kept is not None and self._kept[0] == version:
            return self._kept[1]
        vectors = F.normalize(encoder.encode_text(self.prompts).unflatten(0, (self.count, -1)).mean(1), dim=-1)
        self._kept = None if torch.is_grad_enabled() else (version, vectors)
        return vectors

    def labels(self, samples: Sequence) -> Tensor:
        """``(N,)``."""
        return class_labels(samples)

    def predict(self, encoder: DualEncoder, image: Tensor, samples: Sequence) -> None:
        """Write ``logits``, ``(K,)``."""
        for sample, logits in zip(samples, self(encoder, image).logits.float(), strict=True):
            sample.logits = logits


@MODELS.register_module()
class RetrievalHead(BaseHead):
    """Which caption belongs to which image of the batch, both ways (CLIP, figure 3).

    Logits are ``(N, 2, N)``: captions for every image, and images for every caption. Other samples with the same caption
    are out of the question instead of wrong.
    """

    def forward(self, encoder: DualEncoder, image: Tensor, text: Sequence[str] | None = None) -> Recognition:
        """Logits ``(N, 2, N)``.

        Raises:
            ValueError: no text.
        """
        if text is None or any(t is None for t in text):
            raise ValueError(
                'retrieval needs a text for every image: train on a set with captions, such as CaptionList'
            )
        embedding = encoder.encode_image(image)
        logits = encoder.scale * embedding @ encoder.encode_text(text).T
        same = torch.tensor([[a == b for b in text] for a in text], device=logits.device)
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, OUT)
        return Recognition(torch.stack([logits, logits.T], dim=1), embedding)

    def labels(self, samples: Sequence) -> Tensor:
        """``(N, 2)``: the sample itself."""
        return torch.arange(len(samples))[:, None].expand(-1, 2)

    def predict(self, encoder: DualEncoder, image: Tensor, samples: Sequence) -> None:
        """Write ``image_vector``, ``(D,)``, and ``text_vectors``, ``(captions, D)``."""
        for sample, vector in zip(samples, encoder.encode_image(image).float(), strict=True):
            sample.image_vector = vector
            sample.text_vectors = encoder.encode_text(sample.captions).float()


@MODELS.register_module()
class BoxHead(BaseHead):
    """The box of what a text describes.

    A learned token, the text and the patches go through a transformer layer, as in TransVG (Deng et al., ICCV 2021). The
    token then chooses a place for each of centre x, centre y, width and height among ``bins`` equally spaced values, so
    that a box is a choice like any other; the box is the mean of each distribution (as in generalised focal loss, Li et
    al., NeurIPS 2020). The combination is not from a paper.

    Args:
        bins: B. Default 32.
        width: of the layer. Default 128.
        heads: of its attention. Default 4.
    """

    def __init__(self, bins: int = 32, width: int = 128, heads: int = 4):
        super().__init__()
        if bins < 2:
            raise ValueError(f'bins must be 2 or more, got {bins}')
        self.bins = bins
        self.width = width
        self.heads = heads

    def bind(self, encoder: DualEncoder) -> None:
        with torch.no_grad():
            vector, patches = encoder.encode_patches(encoder.example()[0])
        self.of_text = nn.Linear(vector.shape[1], self.width)
        self.of_patch = nn.Linear(patches.shape[2], self.width)
        self.places = nn.Parameter(0.02 * torch.randn(1, patches.shape[1], self.width))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, self.width))
        self.layer = nn.TransformerEncoderLayer(
            self.width, self.heads, 2 * self.width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.choose = nn.Linear(self.width, 4 * self.bins)

    def forward(self, encoder: DualEncoder, image: Tensor, text: Sequence[str] | None = None) -> Recognition:
        """Logits ``(N, 4, B)`` and boxes.

        Raises:
            ValueError: no text.
        """
        if text is None or any(t is None for t in text):
            raise ValueError('grounding needs a text for every image: train on a set with boxes, such as GroundingList')
        embedding, patches = encoder.encode_patches(image)
        parts = [
            self.token.expand(len(image), -1, -1),
            self.of_text(encoder.encode_text(text))[:, None],
            self.of_patch(patches) + self.places,
        ]
        logits = self.choose(self.layer(torch.cat(parts, dim=1))[:, 0]).unflatten(1, (4, self.bins))
        values = torch.linspace(0, 1, self.bins, device=logits.device)
        centre, size = (logits.softmax(-1) @ values).chunk(2, dim=1)
        return Recognition(logits, embedding, torch.cat([centre - size / 2, centre + size / 2], dim=1))

    def labels(self, samples: Sequence) -> Tensor:
        """``(N, 4)``: the nearest bins of centre and size.

        Raises:
            ValueError: a sample has no box.
        """
        if any('box' not in sample for sample in samples):
            raise ValueError('a sample has no box: train grounding on a set with boxes, such as GroundingList')
        low, high = torch.stack([sample.box for sample in samples]).chunk(2, dim=1)
        values = torch.cat([(low + high) / 2, high - low], dim=1)
        return (values * (self.bins - 1)).round().long()

    def predict(self, encoder: DualEncoder, image: Tensor, samples: Sequence) -> None:
        """Write ``pred_box``, ``(4,)``, as shares of width and height."""
        boxes = self(encoder, image, [sample.text for sample in samples]).boxes
        for sample, box in zip(samples, boxes.float(), strict=True):
            sample.pred_box = box.clamp(0, 1)
