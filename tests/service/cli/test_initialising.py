import pytest

from tests.unit.cli.conftest import Here, here

__all__ = ["here"]


@pytest.mark.parametrize("stages", ["generate", "generate,validate,answer"])
def test_a_spec_that_init_writes_is_planned(here: Here, api_url: str, stages: str) -> None:
    here.at(api_url).run("init", "job.yaml", "--stages", stages, "--questions", 500)
    planned = here.json("plan", "job.yaml")
    assert planned["totals"]["questions"] == 500
    assert [each["stage"] for each in planned["forecast"]["stages"]] == stages.split(",")
