"""The asker of `./run` itself: it could not find a wrong command if it took all of them."""

import pytest

from tests.docs.run_words import Refused, require_accepted


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("tarin --data b", "tarin"),
        ("train --data b --algo maml --stepz 3", "--stepz"),
        ("masks BUNDLE --tokeniser bytes", "--tokeniser"),
        ("questmill watch JOB --follow", "--follow"),
        ("keys create NAME --scope everything", "everything"),
        ("bench no_such_measure", "no_such_measure"),
        ("test tests/no_such_file.py", "no_such_file"),
    ],
)
def test_what_run_does_not_take_is_refused(command: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        require_accepted(command.split())
