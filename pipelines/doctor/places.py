"""Folders: can they be written, is there room."""

import shutil
from pathlib import Path

from sqlalchemy import make_url

from forecaster.errors import HomeUnwritable
from pipelines.doctor.finding import Patient

_ENOUGH = 200 * 2**20
"""Bytes; a demo leaves about 20 MB behind."""


def home(patient: Patient) -> str:
    """The home can be written."""
    patient.home.prepare()
    return str(patient.home.root.absolute())


def disk(patient: Patient) -> str:
    """There is room in the home, and where an embedded database lies elsewhere."""
    said = []
    for folder in dict.fromkeys((patient.home.root, *_databases(patient))):
        free = shutil.disk_usage(folder if folder.exists() else ".").free
        if free < _ENOUGH:
            raise HomeUnwritable(folder, f"only {free / 2**20:.0f} MB free")
        said.append(f"{free / 2**30:.1f} GB free" + ("" if folder == patient.home.root else f" in {folder}"))
    return ", ".join(said)


def _databases(patient: Patient) -> list[Path]:
    """Folders of databases that are files."""
    urls = (make_url(patient.home.database_url), make_url(patient.home.tracking_uri))
    return [Path(url.database).parent for url in urls if url.get_backend_name() == "sqlite" and url.database]
