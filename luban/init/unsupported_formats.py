"""Forms of data that no source reads: each with the reason, and what to do instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from luban.core.errors import DataError
from luban.data.files.archives import field_of
from luban.data.files.formats import FORMATS
from luban.data.files.reading import bare_suffix, is_about, open_bytes

_LOOKED = 5_000  #: files of a folder that are looked at


class Foreign(NamedTuple):
    """What a form is called, and how to come from it to one that is read."""

    what: str
    fix: str


_PICKLE = Foreign(
    "a pickle, which may run any program when it is opened: Luban never opens one",
    "open it where you trust it, and save arrays (numpy.savez) or pictures in a folder per label.",
)
#: By suffix, ``.gz`` taken off.
_SUFFIXES: Mapping[str, Foreign] = {
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"), _PICKLE),
    ".mat": Foreign(
        "a file of MATLAB (.mat)",
        "write what it tells into a table (CSV) that names the files and their labels.",
    ),
    **dict.fromkeys((".h5", ".hdf5"), Foreign("an HDF5 file", "save its arrays with numpy.savez.")),
    ".tfrecord": Foreign("a TFRecord file", "write JSON Lines, or files in folders."),
    ".lmdb": Foreign("an LMDB file", "write JSON Lines, or files in folders."),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), Foreign("a workbook", "save the sheet as CSV.")),
    ".pdf": Foreign("a PDF file", "take its text out: pdftotext IN.pdf OUT.txt."),
    **dict.fromkeys((".sqlite", ".db"), Foreign("a database", "export the table as CSV.")),
    ".rar": Foreign("an archive (RAR)", "unpack it."),
    ".7z": Foreign("an archive (7z)", "unpack it."),
    ".ann": Foreign(
        "annotations of brat (.ann)",
        'write JSON Lines with "text" and "entities": [{"start": 0, "end": 3, "type": "PER"}].',
    ),
    ".phn": Foreign(
        "TIMIT's places of phones and words (.PHN, .WRD, and .TXT with two numbers before the "
        "words)",
        "write a table (CSV) of audio and text.",
    ),
}
#: Forms that tell of other files.
_TELLING = tuple(_SUFFIXES[suffix] for suffix in (".mat", ".ann", ".phn"))
#: By the first bytes.
_MAGIC: tuple[tuple[bytes, Foreign], ...] = (
    (b"\x80\x02", _PICKLE),
    (b"\x80\x03", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"\x80\x05", _PICKLE),
    (b"\x89HDF", _SUFFIXES[".h5"]),
    (b"SQLite format 3", _SUFFIXES[".db"]),
)


def refuse_foreign(path: Path) -> None:
    """Refuse a file, or a folder in which such files hold the data or what is told of them.

    A document or a few arrays beside other data are no reason.

    Raises:
        DataError: naming the form, the first file and what to do.
    """
    if path.is_dir():
        every = islice(sorted(path.rglob("*")), _LOOKED)
        files = [f for f in every if f.is_file() and not is_about(f.name)]
        found = [(file, form) for file in files if (form := foreign_form(file))]
        telling = [(file, form) for file, form in found if form in _TELLING]
        readable = [f for f in files if bare_suffix(f) in FORMATS or field_of(f.name)]
        found = telling or ([] if readable else found)
        if not found:
            return
        (form, times), *_ = Counter(form for _, form in found).most_common()
        first = next(file for file, other in found if other == form)
    elif path.is_file() and (told := foreign_form(path)):
        form, times, first = told, 1, path
    else:
        return
    raise DataError(
        f"this is {form.what}.",
        where=first,
        got=f"{times:,} such files" if times > 1 else first.name,
        fix=form.fix,
    )


def foreign_form(path: Path) -> Foreign | None:
    """Return the foreign form of a file, by its suffix, or its first bytes where it has none."""
    if field_of(path.name) or path.name.lower() == "thumbs.db":
        return None
    if (found := _SUFFIXES.get(bare_suffix(path))) and not _is_portuguese(path):
        return found
    if path.suffix.lower() in (".npy", ".npz", ".json", ".txt", ".csv", ".jpg", ".png", ".wav"):
        return _objects(path) if path.suffix.lower() == ".npy" else None
    with open_bytes(path) as file:
        head = file.read(16)
    return next((form for magic, form in _MAGIC if head.startswith(magic)), None)


def _is_portuguese(path: Path) -> bool:
    """Return whether a file ends in ``.pt``, and is neither an archive nor a pickle of torch."""
    if bare_suffix(path) != ".pt":
        return False
    with open_bytes(path) as file:
        return not file.read(4).startswith((b"PK\x03\x04", b"\x80"))


def _objects(path: Path) -> Foreign | None:
    """Return a pickle if an array holds objects: its head says so."""
    with path.open("rb") as file:
        head = file.read(256)
    return _PICKLE if b"'|O'" in head else None
