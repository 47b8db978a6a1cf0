"""Recognisers: networks that say what an image shows, one file each."""

from .base import BaseRecognizer, Recognition
from .dual_encoder import DualEncoder
from .heads import BoxHead, PromptHead, RetrievalHead
from .preprocessor import RecognitionPreprocessor
from .timm_classifier import TimmClassifier

__all__ = [
    'BaseRecognizer',
    'BoxHead',
    'DualEncoder',
    'PromptHead',
    'Recognition',
    'RecognitionPreprocessor',
    'RetrievalHead',
    'TimmClassifier',
]
