"""The files in folders, tars and zips: named alike, read without unpacking.

No name of an archive is ever written to disk, so it does not matter where it leads. Links within
archives are not followed.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tarfile import HeaderError, ReadError
from typing import IO, Any, Self

from luban.core.errors import DataError, LubanError
from luban.core.registry import nearest
from luban.data.files.reading import missing
from luban.data.files.unpacked import unpacked
from luban.data.media.media_files import Media

PLAIN = (".tar", ".zip")
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVES = (*PLAIN, *PACKED)
IMAGES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2"),
)
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au")

_LIMIT = 1 << 30  #: bytes of one packed file: a "zip bomb" must not fill the memory
#: What reading a damaged zip raises: also for places before its beginning, and for what it seems to
#: say of encryption, versions, ways of packing and names.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, IndexError, OSError, RuntimeError, ValueError),
)
_LOCAL = 30  #: bytes of a zip's local header before its two fields of any length


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a folder or archive.

    Attributes:
        name: Its path within, with slashes.
        where: The folder or archive and that path, for messages.
        media: Returns it. In a packed tar, call it before the next member is asked for.
    """

    name: str
    where: str
    media: Callable[[], Media]

    def text(self) -> str:
        """Return it as text.

        Raises:
            DataError: if it is not UTF-8.
        """
        try:
            return self.media().read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError("this is not UTF-8 text.", where=self.where) from None


def is_archive(path: Path) -> bool:
    """Return whether a name is that of an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def field_of(name: str) -> str | None:
    """Return the field that a file belongs to by its name: ``image``, ``audio`` or None."""
    suffix = PurePosixPath(name.lower()).suffix
    return "image" if suffix in IMAGES else "audio" if suffix in SOUNDS else None


def members(root: Path) -> Iterator[Member]:
    """Yield the files of a folder (sorted) or archive (as it goes), without hidden ones.

    Raises:
        DataError: if it is neither, or damaged.
    """
    if root.is_dir():
        found = _in_folder(root)
    elif not root.is_file():
        raise missing(root)
    elif root.name.lower().endswith(".zip"):
        found = _in_zip(root)
    else:
        found = _in_tar(root)
    for member in found:
        parts = PurePosixPath(member.name).parts
        if not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield member


def refuse_twice(names: Sequence[str], archive: Path) -> None:
    """Refuse an archive that holds two files of one name: which is meant cannot be told.

    Raises:
        DataError: naming the first such file.
    """
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise DataError(
            f"{name} stands {times} times in this archive.",
            where=archive,
            fix="pack it anew, each file once.",
        )


class Tree:
    """A folder, plain tar or zip whose files can be had in any order.

    Raises:
        DataError: if it is none of these.
    """

    def __init__(self, root: Path) -> None:
        if root.name.lower().endswith(PACKED) and root.is_file():
            raise DataError(
                "a packed tar can only be read from front to back.",
                where=root,
                fix="unpack it to a plain .tar or a folder, once.",
            )
        self.root = root
        found = list(members(root))
        refuse_twice([member.name for member in found], root)
        self._members = {member.name: member for member in found}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> Member:
        if name not in self._members:
            near = nearest(name, list(self._members)) if len(self._members) < 100_000 else ""
            raise DataError("there is no such file.", where=f"{self.root}/{name}", fix=near)
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def files(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Return the files on disk that hold some of these."""
        if not self.root.is_dir():
            return (self.root,)
        return tuple(self.root / name for name in names)


def _in_folder(root: Path) -> Iterator[Member]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield Member(
                path.relative_to(root).as_posix(), str(path), partial(Media, str(path), path)
            )


def _in_tar(path: Path) -> Iterator[Member]:
    packed = not path.name.lower().endswith(".tar")
    plain = unpacked(path) if packed else path
    mode: Any = "r:" if plain else "r|*"
    with _reading(path), tarfile.open(plain or path, mode, tarinfo=_Header) as tar:
        for info in tar:
            tar.members = []  # type: ignore[attr-defined]  # or it would remember them all
            link = (info.issym() or info.islnk()) and field_of(info.name)
            if not info.isreg() and not link:
                continue
            where = f"{path}/{info.name}"
            name = str(PurePosixPath(info.name))
            if link or info.issparse():
                make = partial(_refused, where)
            elif plain and packed and info.size > _LIMIT:  # as if it were streamed
                make = partial(_too_much, where, info.size)
            elif plain:
                make = partial(Media, where, plain, info.offset_data, info.size)
            else:
                make = partial(_streamed, path, tar, info, where)
            yield Member(name, where, make)


class _Header(tarfile.TarInfo):
    """A header that is damaged is an error, also after the first: it is no end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Self:
        """Return the next header.

        Raises:
            ReadError: if it is damaged or cut off.
        """
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ in ("InvalidHeaderError", "TruncatedHeaderError"):
                raise ReadError(str(error)) from None
            raise  # the end of the archive, or what is an error already


def _refused(where: str) -> Media:
    raise DataError(
        "this is a link or a sparse file within an archive, which is not followed.",
        where=where,
        fix="unpack the archive, or pack it with the files themselves (tar --hard-dereference -h).",
    )


def _too_much(where: str, size: int) -> Media:
    raise _too_large(where, size)


def _streamed(path: Path, tar: tarfile.TarFile, info: tarfile.TarInfo, where: str) -> Media:
    if info.size > _LIMIT:
        raise _too_large(where, info.size)
    with _reading(path):  # whoever asks for it is not in ``_in_tar``
        file: IO[bytes] | None = tar.extractfile(info)
        return Media(where, file.read() if file else b"")


def _in_zip(path: Path) -> Iterator[Member]:
    with _reading(path), zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    for info in infos:
        where = f"{path}/{info.filename}"
        make = partial(_unzipped, path, info, where)
        yield Member(str(PurePosixPath(info.filename)), where, make)


def _unzipped(path: Path, info: zipfile.ZipInfo, where: str) -> Media:
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            "this file is encrypted, or packed in an unusual way.",
            where=where,
            fix="unpack the archive.",
        )
    if info.file_size > _LIMIT:
        raise _too_large(where, info.file_size)
    with _reading(path), path.open("rb") as file:  # whoever asks for it is not in ``_in_zip``
        file.seek(info.header_offset)
        header = file.read(_LOCAL)
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = info.header_offset + _LOCAL + names
        if info.compress_type == zipfile.ZIP_STORED:
            return Media(where, path, start, info.file_size)
        file.seek(start)
        packed = file.read(info.compress_size)
    try:
        most = max(1, info.file_size)  # 0 would be no bound, for a file that lies about its size
        return Media(where, zlib.decompressobj(-15).decompress(packed, most))
    except zlib.error:
        return Media(where, b"")  # what decodes it says that it is damaged


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except LubanError:
        raise
    except (tarfile.TarError, *DAMAGED) as error:
        raise DataError(f"this archive is damaged ({error}).", where=path) from None


def _too_large(where: str, size: int) -> DataError:
    return DataError(
        "this packed file is too large.",
        where=where,
        expected=f"at most {_LIMIT:,} bytes",
        got=f"{size:,} bytes",
        fix="unpack the archive.",
    )
