"""The shelf: the last good champion of every target, kept on disk for a start while the database is away.

    home/serving/<target>/<sha256 of champion.json>/champion.json  names the artifact's digest,
                                                    manifest.json  has that digest and names the graph's,
                                                    model.onnx     has that one,
                                                    <digest>/      the same two of the random walk beside it

so every byte is checked before it is believed. Nothing here is a pickle.
"""

import hashlib
import shutil
from pathlib import Path
from tempfile import mkdtemp

from pydantic import TypeAdapter

from forecaster.artifact import Artifact, serialise
from forecaster.errors import ArtifactCorrupt
from forecaster.store.champions import Champion

_CHAMPION = TypeAdapter(Champion)


class Shelf:
    """Copies of champions in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, champion: Champion, artifact: Artifact, walk: Artifact | None = None) -> None:
        """Keep this champion in place of the target's earlier ones: whole or not at all.

        Arguments:
            walk: The random walk beside it, where that is another artifact.

        Raises:
            OSError: The disk is full, read-only or not ours.
        """
        named = _CHAMPION.dump_json(champion)
        home = self._folder / champion.target
        home.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=".new-", dir=self._folder))
        try:
            (fresh / "champion.json").write_bytes(named)
            _write(artifact, fresh)
            if walk is not None:
                _write(walk, fresh / walk.digest)
            copy = home / hashlib.sha256(named).hexdigest()
            shutil.rmtree(copy, ignore_errors=True)  # the same champion again, perhaps damaged
            fresh.rename(copy)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        for other in home.iterdir():
            if other != copy:
                shutil.rmtree(other, ignore_errors=True)

    def copies(self) -> list[Path]:
        """Every copy; the name of its parent is the target's."""
        return sorted(path.parent for path in self._folder.glob("*/*/champion.json"))

    def champion(self, copy: Path) -> Champion:
        """What a copy says it is.

        Raises:
            ArtifactCorrupt: It does not match its name, or cannot be read.
        """
        try:
            named = (copy / "champion.json").read_bytes()
            if hashlib.sha256(named).hexdigest() == copy.name:
                return _CHAMPION.validate_json(named)
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(copy.name, "its copy on disk cannot be read") from error
        raise ArtifactCorrupt(copy.name, "its copy on disk does not match its name")

    def artifact(self, copy: Path, digest: str) -> Artifact:
        """One of a copy's artifacts, verified.

        Raises:
            ArtifactCorrupt: It is not what the digest names, or cannot be read.
        """
        folder = copy / digest if (copy / digest).is_dir() else copy
        try:
            manifest = (folder / "manifest.json").read_text(encoding="utf-8")
            model = (folder / "model.onnx").read_bytes()
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(digest, "its copy on disk cannot be read") from error
        return Artifact.verify(digest, manifest, model)


def _write(artifact: Artifact, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(serialise(artifact.manifest), encoding="utf-8")
    (folder / "model.onnx").write_bytes(artifact.model)
