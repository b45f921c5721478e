"""The commands of the pages for training, by its own parser, which needs what only this suite has."""

import pytest

from tests.docs.pages import read_pages
from tests.docs.run_words import TRAINING, Refused, ask_typer, mentioned_words, run_commands_of
from tests.docs.shell import commands_of
from training.app import app


def test_every_command_for_training_is_one_that_run_takes() -> None:
    asked = 0
    # The reference is made from the parsers, and shows forms of commands.
    for page in (page for page in read_pages() if not page.name.startswith("docs/reference/")):
        typed = [(command.place, words, False) for command in commands_of(page) for words in run_commands_of(command)]
        named = [(code.place, mentioned_words(code.text) or [], True) for code in page.codes]
        for place, words, mention in typed + named:
            if words[:1] and words[0] in TRAINING:
                asked += 1
                try:
                    ask_typer(app, [word.partition("|")[0] for word in words], mention)
                except Refused as error:
                    pytest.fail(f"{place}: {error}")
    assert asked > 5


def test_an_option_that_training_has_not_is_refused() -> None:
    with pytest.raises(Refused, match="--stepz"):
        ask_typer(app, ["train", "--data", "bundle", "--algo", "maml", "--stepz", "3"], mention=False)
