"""Words in messages: what somebody may have meant who typed a name that does not exist, and how many of a thing."""

from collections.abc import Iterable
from difflib import get_close_matches


def guess(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?`, for a message; empty where no known name is near. Case does not count."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f", did you mean {by_lower[near[0]]!r}?" if near else ""


def counted(number: int, one: str) -> str:
    """`1 session`, `2 sessions`; `one` may be several words, of which the last is put in the plural."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
