"""Networks that tell a student's outputs from its teachers', one world a file."""

from .base import Discriminator

__all__ = ['Discriminator']
