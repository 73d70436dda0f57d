"""A user's own features: modules beside the run file or installed, named in its `[features]` section.

A module is read anew whenever it is asked for and leaves nothing behind, so that no state of an earlier reading (a
cache, a counter) reaches a later one.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

from pydantic import PrivateAttr, field_validator

from forecaster.contract import Frozen
from forecaster.errors import ConfigError
from forecaster.features import FEATURES, Feature
from forecaster.features.base import features_of
from forecaster.features.channels import CHANNEL

GROUP = "forecaster.features"
"""Entry points of this group are modules with features."""
_WHERE = "[features] modules"


class FeaturesConfig(Frozen):
    """Features besides those that ship."""

    modules: tuple[str, ...] = ()
    """Each a file `NAME.py` beside the run file, or an installed entry point NAME of group `forecaster.features`."""
    _folder: Path = PrivateAttr(default=Path())

    @field_validator("modules")
    @classmethod
    def _are_names(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        for name in modules:
            if not name.isidentifier():
                raise ValueError(f"{name[:32]!r} is not the name of a module; write my_features, not a path or my.py")
        return modules

    def model_post_init(self, context: Any) -> None:
        """Take the run file's folder from the validation context."""
        self._folder = context if isinstance(context, Path) else Path()

    def load(self) -> Mapping[str, Feature]:
        """The table with the modules' features added, their modules read anew.

        Raises:
            ConfigError: A module is not there, fails on import or defines a name that exists.
        """
        return load_features(self.modules, self._folder)

    @cached_property
    def table(self) -> Mapping[str, Feature]:
        """What `load` gives, read once."""
        return self.load()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the modules' source; empty where there are none."""
        if not self.modules:
            return ""
        sha = hashlib.sha256()
        for name in self.modules:
            for path in _sources(name, self._folder):
                sha.update(f"{name} {path.name}\0".encode() + path.read_bytes() + b"\0")
        return sha.hexdigest()


def load_features(modules: Sequence[str], folder: Path) -> Mapping[str, Feature]:
    """The features that ship and those of a user's modules.

    Arguments:
        folder: Where modules are looked for before the installed ones.

    Raises:
        ConfigError: A module is not there, fails on import or defines a name that exists.
    """
    table = dict(FEATURES)
    for name in modules:
        own = {key: held for key, held in features_of(_load(name, folder)).items() if held not in table.values()}
        if not own:
            raise ConfigError(_WHERE, f"{name} defines no feature; put @feature(unit=..., warm_up=...) on a function")
        for key, held in own.items():
            if key in table:
                raise ConfigError(_WHERE, f"{name}.{key}: there is a feature {key} already; give it another name")
            if not CHANNEL.fullmatch(key):
                raise ConfigError(_WHERE, f"{name}.{key}: a feature's name is lower case, digits and _; rename it")
            table[key] = held
    return MappingProxyType(table)


def _load(name: str, folder: Path) -> ModuleType:
    file = folder / f"{name}.py"
    try:
        if file.is_file():
            return _from_file(name, file)
        return _from_package(_installed(name, folder))
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        said = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            _WHERE, f"{name} cannot be imported, {type(error).__name__}: {said}; correct it there"
        ) from error


class _Source(SourceFileLoader):
    """Reads the source as it is now: a stored compilation is told from it by whole seconds only."""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  # importlib passes it by this name
        return self.source_to_code(self.get_data(self.path), self.path)


def _from_file(name: str, file: Path) -> ModuleType:
    spec = spec_from_file_location(name, file, loader=_Source(name, str(file)))
    if spec is None or spec.loader is None:
        raise ImportError(f"no way to read {file.name}")
    module = module_from_spec(spec)
    with _without(name):
        sys.modules[name] = module  # dataclasses look their module up while it is read
        spec.loader.exec_module(module)
    return module


def _from_package(entry: EntryPoint) -> ModuleType:
    with _without(entry.module.partition(".")[0]):
        return import_module(entry.module)


@contextmanager
def _without(root: str) -> Iterator[None]:
    """Nothing of that package is imported within, and afterwards what was before."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == root}
    for name in before:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == root]:
            del sys.modules[name]
        sys.modules.update(before)


def _installed(name: str, folder: Path) -> EntryPoint:
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        there = ", ".join(sorted(entry.name for entry in entry_points(group=GROUP))) or "none"
        raise ConfigError(
            _WHERE,
            f"no module {name}: put {name}.py into {folder.resolve()}, or name an installed entry point of group "
            f"{GROUP} (here: {there})",
        )
    return found[0]


def _sources(name: str, folder: Path) -> list[Path]:
    """Every file that decides what a module does."""
    file = folder / f"{name}.py"
    if file.is_file():
        return [file]
    entry = _installed(name, folder)
    module = _from_package(entry)
    path = Path(str(module.__file__))
    return sorted(path.parent.rglob("*.py")) if "." in entry.module or path.name == "__init__.py" else [path]
