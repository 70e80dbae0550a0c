"""Kriti, the language of webhook transforms: a superset of JSON with look-ups, choices and loops.

As strict as the language's own parser in version 0.3.3, whatever one might wish: a template that
works here has to work there. So operators do not chain without parentheses, the result of a
function is no operand without them, a keyword or a leading underscore is no field name after a
dot, and a string may hold a raw line break.
"""

from .errors import KritiError
from .evaluation import evaluate
from .parser import parse

__all__ = ["KritiError", "evaluate", "parse"]
