"""Requests that nobody sends by mistake, as bytes: about fifty for each kind of server."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A path to post to.

    Attributes:
        path: Where.
        body: A request that is answered with status 200.
        field: The field of its form that takes a file; empty if it takes none.
    """

    path: str
    body: bytes
    field: str = ""


def hostile(target: Target) -> Iterator[tuple[str, bytes]]:
    """Yield requests with their names."""
    yield from _heads(target)
    yield from _framed(target)
    yield from _texts(target)
    if target.field:
        yield from _forms(target)
        yield from _files(target)


def request(
    target: Target, body: bytes, kind: str = "application/json", *, more: str = "", length: str = ""
) -> bytes:
    head = f"POST {target.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{more}"
    return f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body


def _heads(target: Target) -> Iterator[tuple[str, bytes]]:
    path, end = target.path.encode(), b" HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "nothing", b"\r\n\r\n"
    yield "noise", bytes(range(256)) * 40
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    yield "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "a version", b"GET " + path + b" HTTP/9.9\r\nHost: x\r\n\r\n"
    yield "HTTP/1.0", b"GET " + path + b" HTTP/1.0\r\n\r\n"
    for method in (b"FOO", b"HEAD", b"TRACE", b"PATCH", b"DELETE", b"M" * 9000):
        yield f"method {method[:9]!r}", method + b" " + path + end
    yield "CONNECT", b"CONNECT example.org:443" + end
    yield "OPTIONS *", b"OPTIONS *" + end
    for place in (
        b"http://elsewhere/",
        b"/../../etc/passwd",
        b"/v1/models/%00%ff%0d%0aX:y",
        b"/v1/models/" + b"%41" * 3000,
        b"/v1/models/" + b"a" * 100_000,
        b"//x/",
        b"/\xff\xfe",
        b"/a b",
    ):
        yield f"path {place[:20]!r}", b"GET " + place + end
    for header in (
        b"Host: [bad",
        b"X: " + b"a" * 100_000,
        b"\r\n".join(b"X%d: y" % number for number in range(3000)),
        b"no colon",
        b"X: a\r\n folded",
        b"X: \x00",
        b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x",
        b"Expect: a miracle",
        b"Authorization: Bearer \xff\xfe",
        b"Content-Type: " + b"multipart/form-data; boundary=" * 300,
    ):
        yield (
            f"header {header[:20]!r}",
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n",
        )


def _framed(target: Target) -> Iterator[tuple[str, bytes]]:
    body = target.body
    for length in ("-1", "1_0", "0x10", "9" * 30, "²", "1, 2", " "):
        yield f"length {length[:5]}", request(target, body, length=length)
    yield "two lengths", request(target, body, more="Content-Length: 3\r\n")
    for coding in ("chunked", "gzip", "chunked, chunked"):
        yield f"coding {coding}", request(target, body, more=f"Transfer-Encoding: {coding}\r\n")
    head = f"POST {target.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    for chunk in (
        b"ffffffffffffffffffffffff\r\nx",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhello\r\n0\r\n\r\n",
        b"1;" + b"e" * 100_000 + b"\r\n{\r\n",
        b"1\r\n{\r\n0\r\nTrailer: " + b"t" * 100_000,
        b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
        b"1\r\n \r\n" * 20_000 + b"0\r\n\r\n",
    ):
        yield f"chunk {chunk[:12]!r}", chunked + chunk
    yield "pipelined", request(target, body) * 20
    yield "a body that is cut", request(target, body, length=str(len(body) + 10))
    yield "continue", request(target, body, more="Expect: 100-continue\r\n")
    packed = gzip.compress(bytes(1_000_000))
    yield "packed", request(target, packed, more="Content-Encoding: gzip\r\n")
    yield "more than is taken", request(target, b"x", length="99999999999")


def _texts(target: Target) -> Iterator[tuple[str, bytes]]:
    plain = json.loads(target.body)
    for name in plain:
        for value in (
            b"NaN", b"-Infinity", b"1e999", b"1e-400", b"9" * 5000, b'"\\ud800"', b'"\xff"',
            b"[" * 300 + b"]" * 300, b"[" * 100_000, b'"' + b"a" * 900_000 + b'"',
            b"[" + b"1," * 300_000 + b"1]", b"[" + b'"a",' * 100_000 + b'"a"]',
            b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}",
            '"{}"'.format("".join(map(chr, range(0xE000, 0xF900)))).encode(),
        ):  # fmt: skip
            others = {key: item for key, item in plain.items() if key != name}
            rest = json.dumps(others).encode()[1:-1]
            made = b'{"%s": %s%s}' % (name.encode(), value, b", " + rest if rest else b"")
            yield f"{name}: {value[:12]!r}", request(target, made)
    yield "twice", request(target, b'{"model": "tiny",' + target.body[1:])
    for body in (
        b"",
        b"{",
        b"null",
        b"[]",
        b'""',
        target.body + b"x",
        b"\xef\xbb\xbf" + target.body,
    ):
        yield f"body {body[:12]!r}", request(target, body)
    yield "UTF-16", request(target, json.dumps(plain).encode("utf-16"))
    for kind in ("text/plain", "application/xml", "a" * 5000, "application/x-www-form-urlencoded"):
        yield f"kind {kind[:20]}", request(target, target.body, kind)


def _forms(target: Target) -> Iterator[tuple[str, bytes]]:
    def part(head: str, body: bytes = b"x") -> bytes:
        return f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"

    form, end, field = "multipart/form-data; boundary=b", b"--b--\r\n", target.field
    for name in ("../../x", "/etc/passwd", "a\0b", "a" * 9000, "con", 'a"; filename="b'):
        body = part(f'name="{field}"; filename="{name}"') + end
        yield f"file {name[:12]!r}", request(target, body, form)
    yield "text", request(target, part(f'name="{field}"', b"/etc/passwd") + end, form)
    yield "no name", request(target, part("") + end, form)
    yield "no end", request(target, part(f'name="{field}"; filename="a"'), form)
    yield "many", request(target, part('name="a"') * 5000 + end, form)
    yield "a long head", request(target, part(f'name="{"n" * 900_000}"') + end, form)
    yield "a long text", request(target, part('name="model"', b"m" * 2_000_000) + end, form)
    yield "parameters", request(target, part('name="parameters"', b"[" * 100_000) + end, form)
    yield "half", request(target, part('name="parameters"', b'{"a": "\\ud800"}') + end, form)
    for more in ("", "; boundary=", f"; boundary={'b' * 9000}"):
        yield f"boundary {more[:12]}", request(target, b"x", f"multipart/form-data{more}")
    for charset in ("utf-7", "raw_unicode_escape", "punycode", "zlib", "\\"):
        body = part('name="model"', b"\\ud800") + end
        yield f"charset {charset}", request(target, body, f"{form}; charset={charset}")


def _files(target: Target) -> Iterator[tuple[str, bytes]]:
    def png(width: int, height: int, data: bytes) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            check = struct.pack(">I", zlib.crc32(kind + data))
            return struct.pack(">I", len(data)) + kind + data + check

        size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", size)
            + chunk(b"IDAT", zlib.compress(data))
            + chunk(b"IEND", b"")
        )

    def wav(rate: int, length: int, data: bytes = bytes(100)) -> bytes:
        form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate & 0xFFFFFFFF, 2, 16)
        head = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
        return head + b"data" + struct.pack("<I", length) + data

    files = {
        "an image of 4 Gpx": png(65_535, 65_535, bytes(1000)),
        "an image of 49 Mpx that is cut": png(7000, 7000, bytes(100_000)),
        "an image without pixels": png(0, 0, b""),
        "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "a GIF of 65535": b"GIF89a\xff\xff\xff\xff\x80\x00\x00" + bytes(20),
        "a recording of 4 GB": wav(16_000, 0xFFFFFFFF),
        "a recording without a rate": wav(0, 100),
        "a recording at 4 GHz": wav(0xFFFFFFFF, 100),
        "an hour of silence": gzip.compress(bytes(1_000_000)),
        "a FLAC": b"fLaC\x00\x00\x00\x22" + b"\xff" * 40,
        "an Ogg": b"OggS" + b"\xff" * 200,
        "an MP3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b"\xff\xfb\x90" * 100,
        "an archive": b"PK\x03\x04" + bytes(100),
        "nothing": b"",
    }
    for name, data in files.items():
        text = base64.b64encode(data).decode()
        body = json.dumps({"inputs": {target.field: text}}).encode()
        yield f"{name} in JSON", request(target, body)
        head = f'Content-Disposition: form-data; name="{target.field}"; filename="a"'
        form = f"--b\r\n{head}\r\n\r\n".encode() + data + b"\r\n--b--\r\n"
        yield f"{name} in a form", request(target, form, "multipart/form-data; boundary=b")
