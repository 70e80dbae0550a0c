"""Write YAML as the Hasura CLI writes it: what is quoted, and how, and what is indented."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .yaml_files import INCLUDE

# Texts that some reader of YAML would take for something else are in double quotes. Others that
# cannot stand plain are in single quotes, and those of several lines are blocks.
OLD_WORDS = re.compile(
    r"^(?:y|n|yes|no|on|off|true|false|null|~|<<|=|\.nan|[-+]?\.inf)$", re.IGNORECASE
)
NUMBERS = re.compile(r"^[-+]?(?:[0-9][0-9_]*|\.[0-9])[-0-9_.eExXoOa-fA-F+:TtZz ]*$")


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # PyYAML's own signature
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's own signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif not text or text.startswith(INCLUDE) or _is_mistakable(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_mistakable(text: str) -> bool:
    return bool(OLD_WORDS.match(text)) or (bool(NUMBERS.match(text)) and " " not in text.strip())


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """Return the text of a file. Keys keep their order, lines are never folded."""
    return yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=float("inf"),
    )
