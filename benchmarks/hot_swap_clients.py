"""Clients that ask without a pause on connections that they keep, and remember what they were told."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from benchmarks.load import Served


@dataclass(frozen=True)
class Question:
    """What is asked; with a body it is a POST."""

    kind: str
    path: str
    body: dict[str, Any] | None = None

    def ask(self, client: httpx.Client) -> httpx.Response:
        """The answer, whatever its status."""
        return client.get(self.path) if self.body is None else client.post(self.path, json=self.body)


@dataclass
class Answer:
    """What was said, to the byte, and how often."""

    question: Question
    content: bytes
    count: int
    began: float
    """When it was last asked for (monotonic)."""


class Clients:
    """So many threads, each with questions of one kind, from enter to exit."""

    def __init__(self, service: Served, questions: Sequence[Question], count: int) -> None:
        kinds = list(dict.fromkeys(one.kind for one in questions))
        mine = [[one for one in questions if one.kind == kinds[number % len(kinds)]] for number in range(count)]
        self.failed: list[str] = []
        self._url = service.url
        self._over = threading.Event()
        self._seen: list[dict[tuple[str, bytes], Answer]] = [{} for _ in mine]
        self._threads = [
            threading.Thread(target=self._ask, args=(asked, seen)) for asked, seen in zip(mine, self._seen, strict=True)
        ]

    @property
    def answers(self) -> list[Answer]:
        """All of them."""
        return [answer for seen in self._seen for answer in seen.values()]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, questions: Sequence[Question], seen: dict[tuple[str, bytes], Answer]) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
            while not self._over.is_set():
                for number, question in enumerate(questions):
                    began = time.monotonic()
                    try:
                        said = question.ask(client)
                    except httpx.HTTPError as error:
                        self.failed.append(f"{question.kind}: {type(error).__name__}")
                        continue
                    if said.status_code != httpx.codes.OK:
                        self.failed.append(f"{question.kind}: {said.status_code} {said.text[:200]}")
                        continue
                    answer = seen.setdefault((str(number), said.content), Answer(question, said.content, 0, began))
                    answer.count, answer.began = answer.count + 1, began
