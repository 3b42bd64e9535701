"""CSV from bytes to records: encoding, delimiter, first line, cells; docs/csv.md has the grammar.

Both doors read a table by this module, and in the same pieces, so that they refuse the same tables in the same words.
What a cell is in each kind of column, cells.py knows.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import Protocol

from trifold.errors import TableRefused

ENCODINGS = {
    "utf-8": "utf-8",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1252": "cp1252",
    "windows-1253": "cp1253",
    "windows-1254": "cp1254",
    "iso-8859-1": "cp1252",  # as browsers do: what is called so is windows-1252
    "iso-8859-2": "iso8859-2",
    "iso-8859-15": "iso8859-15",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "gb18030": "gb18030",
}
"""Python's codec by the name that is asked for."""
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
MARKED = {"utf-8": "utf-8-sig", "utf-16": "utf-16"}
"""Codecs that take a byte-order mark off."""
DELIMITERS = ",;\t"
TABLE = "a table in CSV with a line of column names and a row or more"
BLOCK_BYTES = 2**20
LONGEST_CELL = 131_072
"""Characters, by Python's csv."""
LONGEST_LINE = 2**24
LINE_END = re.compile(r"\r\n|\r|\n")
QUOTED = r'(?<![^,;\t\r\n])"[^"]*(?:""[^"]*)*"'
FIRST_LINE = re.compile(rf"[\r\n]*((?:{QUOTED}|[^\r\n])*)")


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class CsvText:
    """The text of a table, read once, in memory that does not grow with it.

    Attributes:
        delimiter: What stands between cells.
        header: The names in the first line.
    """

    def __init__(self, stream: Stream, encoding: str = "", advice: str = "") -> None:
        """Read as far as the first line.

        Args:
            stream: The table's bytes.
            encoding: A name of ENCODINGS, for a table without a byte-order mark; empty: UTF-8.
            advice: What to do about a table in another encoding than UTF-8, to end a refusal.

        Raises:
            TableRefused: It has no first line, or it cannot be read.
        """
        self._stream, self._ended, self._held = stream, False, ""
        start = self._bytes()
        marked = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
        self._encoding = marked or encoding or "utf-8"
        self._advice = advice if self._encoding == "utf-8" else ""
        self._decoder = codecs.getincrementaldecoder(MARKED.get(marked or "") or ENCODINGS[self._encoding])()
        self._take(start)
        while not self._ended and not LINE_END.search(self._held.lstrip("\r\n")):
            self._append()
        self.delimiter = find_delimiter(self._held)
        self.header = next(self._records(iter(self._line, "")), [])
        if not self.header:
            raise TableRefused(TABLE, "nothing")

    @property
    def comma(self) -> bool:
        """Whether numbers have a decimal comma, as a spreadsheet writes them that has semicolons between cells."""
        return self.delimiter == ";"

    def chunks(self) -> Iterator[str]:
        """The text below the first line, in pieces that begin where a record does; pass each on to `records`.

        At the end of the text, lines of nothing but delimiters are left out: so spreadsheets write emptied rows.

        Raises:
            TableRefused: It has other bytes than its encoding, or a line without an end.
        """
        while not self._ended or self._held:
            self._append()
            end = self._end()
            chunk, self._held = self._held[:end], "" if self._ended else self._held[end:]
            if chunk:
                yield chunk

    def records(self, chunk: str) -> Iterator[list[str]]:
        """The cells of a chunk, record by record; blank lines are left out.

        Raises:
            TableRefused: A quotation mark stands where it must not, or a cell is too long.
        """
        text = io.StringIO(chunk, newline="")

        def lines() -> Iterator[str]:
            yield from text
            yield from iter(self._line, "")  # of a cell that was not closed

        return self._records(lines(), text, len(chunk))

    def _records(self, lines: Iterator[str], text: io.StringIO | None = None, size: int = 0) -> Iterator[list[str]]:
        try:
            for record in csv.reader(lines, delimiter=self.delimiter, strict=True):
                if record:
                    yield record
                if text is not None and text.tell() == size:
                    return
        except csv.Error as error:
            raise TableRefused(TABLE, f"text that is none: {error}") from None

    def _end(self) -> int:
        """Where the text at hand may be cut: after whole records, as far as quotation marks tell."""
        text = self._held
        if not self._ended:
            while not (end := _end_of_lines(text)) and not self._ended:
                self._append()
                text = self._held
            text = text[:end] if not self._ended else text
        filled = len(text.rstrip(self.delimiter + "\r\n"))
        found = LINE_END.search(text, filled)
        return 0 if not filled else found.end() if found else len(text)

    def _line(self) -> str:
        """The next line with its end; empty after the last."""
        while True:
            found = LINE_END.search(self._held)
            if found and (self._ended or found.end() < len(self._held) or found[0] != "\r"):
                end = found.end()
                break
            if self._ended:
                end = len(self._held)
                break
            self._append()
        line, self._held = self._held[:end], self._held[end:]
        return line

    def _append(self) -> None:
        if not self._ended:
            self._take(self._bytes())

    def _take(self, data: bytes) -> None:
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError:
            name = self._encoding.upper() if self._encoding.startswith("utf") else self._encoding
            raise TableRefused(f"a table in {name}", f"other bytes{self._advice}") from None
        if "\0" in text:
            raise TableRefused(TABLE, "a file that is no text; save the table as CSV")
        self._held += text
        if len(self._held) > LONGEST_LINE:
            raise TableRefused(TABLE, f"a line of more than {LONGEST_LINE:,} characters")

    def _bytes(self) -> bytes:
        """A block, always whole but for the last: both doors see an error in the same block."""
        data = b""
        while len(data) < BLOCK_BYTES and (more := self._stream.read(BLOCK_BYTES - len(data))):
            data += more
        return data


def find_delimiter(text: str) -> str:
    """Which of a comma, a semicolon and a tab the first line has most of, outside quotation marks."""
    first = FIRST_LINE.match(text)
    assert first is not None
    return max(DELIMITERS, key=re.sub(QUOTED, "", first[1]).count)


def _end_of_lines(text: str) -> int:
    """Where the last line ends at which no quotation is open; where there is none, where the last line ends."""
    last = end = _last_line_end(text, len(text))
    quotes = text.count('"', 0, end)
    while quotes % 2 and end:
        before = _last_line_end(text, end - (2 if text.endswith("\r\n", 0, end) else 1))
        quotes -= text.count('"', before, end)
        end = before
    return end or last


def _last_line_end(text: str, stop: int) -> int:
    # A carriage return at the very end may be the first half of a line's end.
    return max(text.rfind("\n", 0, stop), text.rfind("\r", 0, min(stop, len(text) - 1))) + 1
