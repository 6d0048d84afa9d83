"""A form with a file (``multipart/form-data``), parsed as it arrives: the file is written piece by piece to its place, the
other fields are few and short.

It uses python-multipart, as Starlette's form parser does. Starlette's own writes files of any size to the temporary
folder, bounds each field but not all together, accepts a body that breaks off and ignores ``filename*=``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value

from anyio import to_thread
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError

from app.errors import BadRequest, TooLarge, UnsupportedMedia
from ingest.files.uploads import IncomingFile

MOST_TEXT = 256 * 1024
"""Bytes of the fields besides the file, all together."""
MOST_PARTS = 64


@dataclass
class MultipartForm:
    """A received form: its text fields, and its file with the name that the client gave."""

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str = ""
    file: IncomingFile | None = None


class _MultipartReader:
    """Parses a body in pieces. The file is the part ``file``; a file under another name counts as a text field."""

    def __init__(self, boundary: bytes, begin: Callable[[], IncomingFile]) -> None:
        self.received = MultipartForm()
        self._begin = begin
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._name = ""
        self._is_file = False
        self._text = bytearray()
        self._text_size = 0
        self._parts = 0
        self.ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._part_ends,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BadRequest("表单无法解析", "the form cannot be read") from error

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise TooLarge(f"表单最多 {MOST_PARTS} 项", f"a form has at most {MOST_PARTS} parts")
        self._headers = {}
        self._text = bytearray()

    def _header_ends(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._header, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        header = Message()
        header["content-disposition"] = self._headers.get("content-disposition", "")
        found = header.get_params(failobj=[], header="content-disposition", unquote=True)
        params = {name: collapse_rfc2231_value(value) for name, value in found}  # also as filename*=utf-8''…
        self._name = params.get("name", "")
        self._is_file = self._name == "file" and "filename" in params
        if self._is_file:
            if self.received.file is not None:
                raise BadRequest("一次只能上传一个文件", "one file at a time")
            self.received.file_name = params["filename"]
            self.received.file = self._begin()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            assert self.received.file is not None, "begun with the headers"
            self.received.file.write(memoryview(data)[start:end])
            return
        self._text_size += end - start
        if self._text_size > MOST_TEXT:
            raise TooLarge("表单内容过大", "the form is too large")
        self._text.extend(data[start:end])

    def _part_ends(self) -> None:
        if not self._is_file:
            self.received.fields[self._name] = self._text.decode("utf-8", "replace")

    def _end(self) -> None:
        self.ended = True


async def receive(content_type: str, body: AsyncIterator[bytes], begin: Callable[[], IncomingFile]) -> MultipartForm:
    """The form in ``body``; ``begin`` makes place for its file, which is removed where the form is refused.

    Raises UnsupportedMedia, TooLarge, and BadRequest for a body that is not a form or breaks off.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise UnsupportedMedia(
            "请以 multipart/form-data 上传，文件放在 file 一项",
            "upload as multipart/form-data, with the file as `file`",
        )
    reader = _MultipartReader(boundary.encode("latin-1", "replace"), begin)
    try:
        async for chunk in body:
            await to_thread.run_sync(reader.feed, chunk)
        if not reader.ended:
            raise BadRequest("上传中断，文件不完整", "the upload broke off; the file is incomplete")
    except BaseException:
        if reader.received.file is not None:
            reader.received.file.drop()
        raise
    return reader.received
