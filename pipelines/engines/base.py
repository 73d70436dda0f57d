"""What an engine promises, and how one is chosen."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from threadpoolctl import threadpool_limits

Asked = TypeVar("Asked")
Given = TypeVar("Given")

TRIES = 3
"""Of what workers had in hand that were killed."""


def answered(function: Callable[[Asked], Given], asked: Asked) -> Given:
    """The answer to one question, on one thread of BLAS as everywhere: sums in another order are other bits."""
    with threadpool_limits(1, user_api="blas"):
        return function(asked)


Engine = Literal["pool", "ray"]


class Workers(Protocol):
    """Processes that answer questions side by side; started when there is first enough to do, kept until closed.

    Several threads may ask at once; whoever closes them knows that none does.
    """

    def here(self, questions: int) -> bool:
        """Whether so many questions would be answered in this very process."""

    def each(self, function: Callable[[Asked], Given], asked: Sequence[Asked]) -> Iterator[tuple[Asked, Given]]:
        """Each question with its answer, as they come.

        What a killed worker had in hand is asked again: answers do not depend on who gives them. What a worker
        refuses is raised here as it was said there.

        Raises:
            WorkerDied: Workers are killed again and again.
            EngineUnavailable: The engine cannot be had.
        """

    def close(self) -> None:
        """Let the processes go; the next question starts new ones."""


@dataclass(frozen=True)
class Crew:
    """Who is to do the work, before anybody was called."""

    count: int | None = 1
    """Questions under way at once; None for as many as there are processors."""
    engine: Engine = "pool"
    address: str | None = None
    """Of a Ray cluster that runs already; None for one of this machine alone, made for the occasion."""

    @property
    def size(self) -> int:
        """Questions under way at once, in numbers."""
        return self.count or os.cpu_count() or 1

    def call(self) -> Workers:
        """Workers that start when they are first needed."""
        if self.engine == "ray":
            from pipelines.engines.cluster import Cluster

            return Cluster(self.count, self.address)
        from pipelines.engines.pool import Pool

        return Pool(self.count)


ALONE = Crew()
"""This very process."""
