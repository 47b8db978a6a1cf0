"""Judges of outputs, one world a file."""

from .base import Judge

__all__ = ['Judge']
