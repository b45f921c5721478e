import pytest

from shared.questions.gates.shapes import lacks_passage, lacks_tool
from tests.unit.questions.gates.asked import asked


@pytest.mark.parametrize(
    "text",
    [
        "Which tool should an assistant pick to book a train?",
        "Call `get_weather` for Oslo; which argument is missing?",
        "Given search_flights(origin, destination), what is still missing?",
        "Recommend an API that can classify images of food.",
        "Which command lists hidden files?",
        "An assistant is asked for the time in Lima. What should it do first?",
    ],
)
def test_accepts_what_names_a_tool(text: str) -> None:
    assert not lacks_tool(asked(text, "tool use"))


@pytest.mark.parametrize("text", ["What is the weather in Oslo?", "Who won the cup in 2018?", "play some jazz"])
def test_refuses_what_names_none(text: str) -> None:
    assert lacks_tool(asked(text, "tool use"))
    assert not lacks_tool(asked(text, "math")), "other domains have no tools"


@pytest.mark.parametrize(
    "text",
    [
        "According to the passage, who was late?",
        "What is the main idea of the text?",
        "Summarize the following article in two sentences.",
        "Read the paragraph below and name its topic.",
        "Which word in the given story describes the dog?",
    ],
)
def test_refuses_a_reference_to_a_passage_that_is_not_there(text: str) -> None:
    assert lacks_passage(asked(text, "reading"))
    assert lacks_passage(asked(text, "summarization"))
    assert not lacks_passage(asked(text, "coding"))


@pytest.mark.parametrize(
    "text",
    [
        "In the text 'Bus 12 leaves at nine.', when does the bus leave?",
        "According to the passage \u201cOmar fed the goat twice\u201d, who was fed?",
        "Summarise the following text: The road to the coast is closed until Monday.",
        "The road is closed.\nBoth lanes are under water.\nWhat is the text about?",
        "Who wrote the poem The Mask of Anarchy?",
        "What is the source of the Congo river?",
        f"{'The river rose all night and nobody slept. ' * 6}What is the main idea of the passage?",
    ],
)
def test_accepts_a_passage_that_is_quoted_or_comes_along(text: str) -> None:
    assert not lacks_passage(asked(text, "reading"))
