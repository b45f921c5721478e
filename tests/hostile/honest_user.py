"""Somebody who only wants to work, while somebody else attacks."""

import threading
from itertools import count

from pydantic import SecretStr

from cli.client import ApiProblem, Client

LOOK_SECONDS = 0.3


class HonestUser:
    """Posts one small job after the other from a thread, from `with` to its end; goes on where one was paused."""

    def __init__(self, url: str, key: str) -> None:
        self.states: list[str] = []  # what the jobs came to
        self.unexpected: Exception | None = None
        self._client = Client(url, SecretStr(key))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "HonestUser":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(60)
        self._client.close()

    def _work(self) -> None:
        numbers = count(1)
        try:
            while not self._is_over.is_set():
                self._finish_one(f"honest-{next(numbers)}")
        except Exception as error:  # noqa: BLE001 - told by the test, in the main thread
            self.unexpected = error

    def _finish_one(self, dataset: str) -> None:
        mix = {
            "domains": {"math": 12, "coding": 12},
            "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}},
        }
        try:
            job_id = str(self._client.submit({"dataset": dataset, "mix": mix, "budget_usd": "1"})["id"])
        except ApiProblem as problem:
            if problem.status != 409:
                raise
            return  # the attacker has a job in the dataset of this name
        while not self._is_over.wait(LOOK_SECONDS):
            try:
                state = str(self._client.job(job_id)["state"])
                if state == "paused":
                    self._client.resume(job_id)
                elif state != "running":
                    self.states.append(state)
                    return
            except ApiProblem as problem:
                # The attacker was quicker: it has deleted the dataset, or resumed or cancelled the job.
                if problem.status not in {404, 409, 422}:
                    raise
                if problem.status == 404:
                    return
