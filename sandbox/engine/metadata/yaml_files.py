"""Read metadata's YAML as the Hasura CLI does: the values of YAML 1.2, and included files."""

import re
from pathlib import Path
from typing import Any

import yaml

INCLUDE = "!include "


class MetadataError(Exception):
    """The metadata cannot be used. The message is one line, with the file where one is to blame."""


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]  # the C parser is five times as fast, and not everywhere
    """YAML without the words of version 1.1: a column may be called `on`, and a date is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own name and shape
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] not in {"bool", "int", "float", "timestamp"}
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# Decimal numbers and true/false only: no 0777, no 1:30 (which version 1.1 reads as 90), no `yes`.
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def _construct_int(_: Any, node: yaml.ScalarNode) -> int:
    return int(node.value)


def _construct_float(_: Any, node: yaml.ScalarNode) -> float:
    return float(node.value)


def _construct_include(_: Any, node: yaml.ScalarNode) -> str:
    return INCLUDE + str(node.value)


def _construct_mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    """Refuse a key that is written twice, where PyYAML silently keeps the second."""
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (dict, list)) or key in mapping:
            raise yaml.MarkedYAMLError(problem=f"key {key} twice", problem_mark=key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_constructor("!include", _construct_include)


def read(file: Path) -> Any:
    """Read a file with all it includes. A missing or blank one is None."""
    return _read(file, ())


def _read(file: Path, including: tuple[Path, ...]) -> Any:
    if file in including:
        raise MetadataError(f"{file} includes itself")
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # built on the safe loader
    except FileNotFoundError:
        if including:
            raise MetadataError(f"{including[-1]}: there is no file {file}") from None
        return None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MetadataError(f"{file}{line}: {error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise MetadataError(f"{file}: {reason}") from error
    return _resolve(document, file, (*including, file))


def _resolve(value: Any, file: Path, including: tuple[Path, ...]) -> Any:
    """Put the included files in place, whose paths are relative to the file that names them."""
    if isinstance(value, str) and value.startswith(INCLUDE):
        return _read(file.parent / value.removeprefix(INCLUDE).strip(), including)
    if isinstance(value, list):
        return [_resolve(item, file, including) for item in value]
    if isinstance(value, dict):
        return {key: _resolve(item, file, including) for key, item in value.items()}
    return value
