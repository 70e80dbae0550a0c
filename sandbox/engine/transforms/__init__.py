"""Transforms of metadata: what an action or trigger sends, and what of an answer is taken.

A transform is read once, which parses all its templates, and applied to every exchange. Both raise
TransformError.
"""

from .pairs import Transforms
from .requests import RequestTransform, Transformed
from .responses import ResponseTransform
from .templates import TransformError

__all__ = ["RequestTransform", "ResponseTransform", "TransformError", "Transformed", "Transforms"]
