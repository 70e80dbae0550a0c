"""The language of transforms: values, errors with their positions, and bounds."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from sandbox.engine.kriti import KritiError, evaluate, parse
from sandbox.engine.kriti.values import decode, encode, is_equal

CASES = yaml.safe_load((Path(__file__).parent / "kriti.yaml").read_text())
LINES = [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]
ORDER = {"id": 7, "total": decode("12.50"), "lines": LINES, "note": None, "odd key": True}
VARIABLES = {"$": {"order": ORDER}, "$name": "Ada", "$session": {"x-hasura-role": "user"}}
ROOM = "".join(chr(number) for number in range(32, 127)) + "é😀\n"


def run(template: str, **variables: Any) -> Any:
    return evaluate(parse(template), VARIABLES | variables)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_template_gives_its_value_or_says_what_is_wrong(case: dict[str, Any]) -> None:
    if "gives" in case:
        assert encode(run(case["template"])) == encode(case["gives"]), case["template"]
        return
    with pytest.raises(KritiError) as caught:
        run(case["template"])
    told = caught.value.serialized()
    place = told.pop("source_position")

    assert list(told.values()) == case["fails"]
    if "at" in case:
        names = ("start_line", "start_column", "end_line", "end_column")
        assert [place[name] for name in names] == case["at"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab{é\n\\"', max_size=3), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_is_a_template_of_itself(value: Any) -> None:
    text = encode(value)
    assume("{{" not in text)

    assert is_equal(run(text), decode(text))


@given(st.text(ROOM + '{}[]"$', max_size=60))
def test_any_text_is_a_template_or_is_refused(text: str) -> None:
    with suppress(KritiError):  # and nothing else
        encode(run(text))


@pytest.mark.parametrize("opening", ["[", "{{ ", "(", '{"a":', "$[", "not "])
def test_a_template_is_not_nested_without_end(opening: str) -> None:
    with pytest.raises(KritiError, match="nested more than 60 levels"):
        parse(opening * 5000)


def test_a_template_that_multiplies_its_work_is_stopped() -> None:
    loop = "{{ range _, x := $ }} "
    started = time.process_time()
    with pytest.raises(KritiError, match="too much work"):
        run(loop * 6 + '"x"' + " {{ end }}" * 6, **{"$": list(range(1000))})
    assert time.process_time() - started < 5


def test_text_that_doubles_itself_is_stopped() -> None:
    text = '"{{ $name }}{{ $name }}"'
    with pytest.raises(KritiError, match="too much work"):
        run(text, **{"$name": "x" * 600_000})


def test_what_runs_out_of_work_is_no_missing_field() -> None:
    loop = "{{ range _, x := $ }} {{ range _, y := $ }} 1 {{ end }} {{ end }}"
    with pytest.raises(KritiError, match="too much work"):
        run(f"{{{{ ({loop})? }}}}", **{"$": list(range(2000))})


def test_values_that_are_nested_too_deeply_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(KritiError, match="too much work"):
        run('"{{ $ }}"', **{"$": deep})


@pytest.mark.parametrize("text", ["1e999999999999", "1" * 2000])
def test_a_number_without_measure_is_refused(text: str) -> None:
    with pytest.raises(KritiError, match="Invalid Lexeme"):
        parse(text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "{", "[" * 100_000, "1e99999999999999999999"])
def test_what_is_no_json_decodes_to_nothing(text: str) -> None:
    assert decode(text) is None


def test_an_index_of_a_huge_number_is_refused_at_once() -> None:
    with pytest.raises(KritiError, match="Integer"):
        run("{{ $.order.lines[$n] }}", **{"$n": decode("1e999999999")})
