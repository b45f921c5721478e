"""Each defence taken out of the code once: the same scenarios must go red, or they prove nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.faults.mutants import (
    API_PUBLISHES,
    NO_EXPIRY,
    NO_FENCE,
    NO_HOLD,
    NO_MEMORY_OF_COMMITS,
    NO_REPEATED_HINTS,
    NOT_LOOKED_FOR,
    Mutant,
    plant,
)
from tests.faults.strikes import Strikes
from tests.faults.system import running_system
from tests.faults.tally import Tally
from tests.faults.test_api_killed import kill_api_after_commit
from tests.faults.test_bulk_killed import kill_between_submission_and_id
from tests.faults.test_commit_unknown import cut_commits
from tests.faults.test_message_repeated import repeat_messages
from tests.faults.test_redis_killed import kill_and_flush_redis
from tests.faults.test_worker_killed import kill_workers
from tests.faults.test_worker_stalled import stall_workers

pytestmark = pytest.mark.long

SLOW = {"QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "0.5"}
# One batch a worker at a time: the other hints are in Redis when it is wiped.
QUEUED = {"QUESTMILL_BATCHES_AT_ONCE": "1"}


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant, the scenario that must notice it, and what the system needs besides."""

    mutant: Mutant
    scenario: Callable[[Strikes], object]
    settings: dict[str, str]


TRIALS = [
    Trial(NO_EXPIRY, lambda strikes: kill_workers(strikes, kills=1), {}),
    Trial(NOT_LOOKED_FOR, lambda strikes: kill_between_submission_and_id(strikes, "openai"), {}),
    Trial(NO_REPEATED_HINTS, kill_and_flush_redis, QUEUED),
    Trial(NO_FENCE, stall_workers, {}),
    Trial(NO_HOLD, repeat_messages, {}),
    Trial(API_PUBLISHES, kill_api_after_commit, {}),
    Trial(NO_MEMORY_OF_COMMITS, cut_commits, {}),
]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.mutant.name.replace(" ", "-"))
def test_the_suite_sees_the_mutant(trial: Trial, tmp_path: Path, tally: Tally) -> None:
    source = plant(trial.mutant, tmp_path / "source")
    own = Tally(tally.seed)
    with running_system(tmp_path / "home", settings=SLOW | trial.settings, source=source) as system:
        strikes = Strikes(system, Random(f"{tally.seed}/{trial.mutant.name}"), own)
        with pytest.raises(AssertionError, match=trial.mutant.red) as red:
            trial.scenario(strikes)
    said = str(red.value).replace("\n", " ")[:300]
    tally.notes.append(f"mutant of {trial.mutant.fault}, {trial.mutant.name}: red ({said})")
