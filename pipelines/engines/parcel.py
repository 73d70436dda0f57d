"""Parcels: a question in transit. Its large arrays are put where workers find them, each once, named by what it holds.

A task of 100 symbols weighs tens of megabytes, nearly all of which the next one shares.

References:
    PEP 574, Pickle protocol 5 with out-of-band data, https://peps.python.org/pep-0574/
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Place = TypeVar("Place")

LARGE = 1024
"""Bytes from which an array travels apart."""


@dataclass(frozen=True)
class Parcel(Generic[Place]):
    """A question without its large arrays, and where they are."""

    stream: bytes
    places: tuple[Place, ...]
    """In the order in which the stream leans on them."""

    def open(self, arrays: Iterable[Any]) -> Any:
        """The question; its arrays are those given, without a copy."""
        return pickle.loads(self.stream, buffers=arrays)  # noqa: S301 - from the process that asks


class Packer(Generic[Place]):
    """Makes parcels; several threads may ask for them.

    Arguments:
        put: Puts bytes of a digest where workers find them, and says where that is.
    """

    def __init__(self, put: Callable[[str, memoryview], Place]) -> None:
        self._put = put
        self._places: dict[str, Place] = {}
        self._putting = Lock()

    def pack(self, question: object) -> Parcel[Place]:
        """A question, ready to be sent."""
        stream, places = io.BytesIO(), list[Place]()

        def inside(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes >= LARGE:
                places.append(self._place(raw))
            return raw.nbytes < LARGE

        _Pickler(stream, protocol=5, buffer_callback=inside).dump(question)
        return Parcel(stream.getvalue(), tuple(places))

    def _place(self, raw: memoryview) -> Place:
        digest = hashlib.sha256(raw).hexdigest()
        with self._putting:
            if digest not in self._places:
                self._places[digest] = self._put(digest, raw)
            return self._places[digest]


class _Pickler(pickle.Pickler):
    """Dates travel as whole numbers: numpy lends nobody the bytes of its dates."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind == "M":
            return _dates, (value.view(np.int64), value.dtype.str)
        return NotImplemented


def _dates(stamps: NDArray[np.int64], unit: str) -> NDArray[np.datetime64]:
    return stamps.view(unit)
