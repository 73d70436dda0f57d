"""Living: which workers are alive, by whether their counts move."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Living:
    """One worker's view of the others.

    It holds their counts against a clock of its own that never jumps, so no two machines have to agree on the time. A
    worker first seen is given the whole lease.
    """

    lease: float
    """Seconds that a count may stand still."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def look(self, counts: Mapping[str, int]) -> set[str]:
        """Who lives, from the counts as they are now."""
        now = self.clock()
        for name, count in counts.items():
            if name not in self._seen or self._seen[name][0] != count:
                self._seen[name] = count, now
        self._seen = {name: seen for name, seen in self._seen.items() if name in counts}
        return {name for name, (_, moved) in self._seen.items() if now - moved < self.lease}
