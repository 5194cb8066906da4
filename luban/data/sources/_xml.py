"""XML files as annotation tools write them: in the encoding that they declare, without entities."""

from __future__ import annotations

import codecs
import re
from xml.etree import ElementTree

from luban.core.errors import DataError
from luban.data.files.archives import Member

_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_SHOWN = 80  #: characters of an element that an error shows
_PROLOG = re.compile(r"\s*<\?xml.*?\?>", re.DOTALL)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Encodings by whose names wider ones go, as browsers know (WHATWG Encoding, section 4.2).
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932"}


def parse_xml(file: Member) -> ElementTree.Element:
    """Return the root of an XML file.

    Python's parser knows a few encodings only, so that the text is decoded before.

    Raises:
        DataError: if it is damaged, in no known encoding, or defines entities.
    """
    text = _text(file.media().read(), file.where)
    if "<!ENTITY" in text:
        raise DataError(
            "this XML defines entities.",
            where=file.where,
            fix="write it without a DOCTYPE: what they stand for can fill the memory.",
        )
    try:
        return ElementTree.fromstring(_PROLOG.sub("", text, count=1))
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise DataError(f"this XML is damaged ({error}).", where=file.where) from None


def only(parent: ElementTree.Element, path: str, where: str) -> ElementTree.Element | None:
    """Return the one element at a path below another; None where there is none.

    Raises:
        DataError: if there are several.
    """
    found = parent.findall(path)
    if len(found) > 1:
        shown = (ElementTree.tostring(one, "unicode").strip()[:_SHOWN] for one in found[:2])
        raise DataError(
            f"<{path}> stands {len(found)} times in <{parent.tag}>.",
            where=where,
            expected="one",
            got=" and ".join(shown),
        )
    return found[0] if found else None


def _text(data: bytes, where: str) -> str:
    declared = _DECLARED.match(data[:200].removeprefix(codecs.BOM_UTF8))
    name = next((codec for mark, codec in _MARKS if data.startswith(mark)), "")
    if not name:
        name = declared[1].decode("ascii") if declared else "utf-8"
    try:
        codec = codecs.lookup(name).name.replace("-", "_")
        return data.decode(_WIDER.get(codec, name))
    except LookupError:
        raise DataError(
            f"this XML declares an encoding that is not known: {name}.", where=where
        ) from None
    except UnicodeError as error:
        raise DataError(
            f"this XML is not in the encoding that it {'declares' if declared else 'must have'}.",
            where=where,
            expected=name,
            got=str(error),
            fix="write its encoding into its first line, or convert it to UTF-8.",
        ) from None
