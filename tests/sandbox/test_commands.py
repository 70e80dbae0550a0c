"""What is typed wrong is named."""

import pytest

from sandbox import commands


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["ledgers"], "argument COMMAND: invalid choice: 'ledgers'"),
        (["clock", "jump"], "argument MOVE: invalid choice: 'jump'"),
        (["faults", "unset"], "argument ORDER: invalid choice: 'unset'"),
    ],
)
def test_a_wrong_command_is_named(
    capsys: pytest.CaptureFixture[str], typed: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        commands.main(typed)

    assert end.value.code == 2
    assert said in capsys.readouterr().err
