"""The table of sources, by the name a run file uses."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pipelines.sources.base import Source
from pipelines.sources.sample import Sample

SOURCES: Mapping[str, Callable[[], Source]] = MappingProxyType({"sample": Sample})
