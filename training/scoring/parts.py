"""Which parts a scoring consists of, and reading the rows of one.

A part of a Parquet file is some of its row groups. A part of a CSV file is some of its lines, and a row
is a line: a cell with a line break in it makes two rows that cannot be read, each told of.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from models.errors import DataError
from models.rows import other_separator
from models.task import Task
from training.scoring import columns

PART_ROWS = 1_000_000
PART_BYTES = 64 * 2**20
BATCH_ROWS = 65_536
BLOCK_BYTES = 4 * 2**20
REJECTED = "rejected.csv"
"""The file of all rejected rows, in the folder of the output."""
_LONGEST_HEADER = 2**20
_SUFFIXES = (".csv", ".parquet")

Rows = tuple[pa.RecordBatch, dict[int, str]]
"""Some rows, and row -> reason for those that could not be parsed."""


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a file.

    name : of the file's folder in the output. number : of the part within the file.
    first : the number of its first row in the file, counted from 1. rows : how many it has.
    start, end : its row groups in a Parquet file, its bytes in a CSV file.
    """

    path: Path
    name: str
    number: int
    first: int
    rows: int
    start: int
    end: int


def find(paths: Iterable[Path], out: Path) -> dict[str, Path]:
    """The files: those named, and those in the folders named. Name in the output -> path.

    out : the folder of the output. If it lies in one of the folders, what is in it does not count.
    Raises DataError for what is no file to score, and for names that the output cannot have, and OSError
    for a folder that cannot be listed.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = _files_in(path, out)
            if not inside:
                raise DataError(f"{path}: holds no file that ends in .csv or .parquet")
            named = {"__".join(p.relative_to(path).parts): p for p in inside}
        elif path.is_file():
            named = {path.name: path}
        else:
            raise DataError(f"{path}: no such file or folder")
        for name, file in named.items():
            if file.suffix not in _SUFFIXES:
                raise DataError(f"{file}: must end in .csv or .parquet")
            if name == REJECTED:
                raise DataError(
                    f"{file}: must have another name, which the list of rejected rows has"
                )
            if name in found:
                raise DataError(f"{file} and {found[name]} would both be written to {name}")
            found[name] = file
    return found


def _files_in(folder: Path, out: Path) -> list[Path]:
    """The files in a folder that can be scored, but for those in `out`. Raises OSError."""
    ours, theirs = folder.resolve(), out.resolve()
    inside = theirs != ours and theirs.is_relative_to(ours)
    skipped = folder / theirs.relative_to(ours) if inside else None
    # rglob leaves out what it cannot list, and says nothing
    walked = os.walk(folder, onerror=_fail)
    paths = (Path(place, name) for place, _, names in walked for name in names)
    wanted = (path for path in paths if skipped not in path.parents)
    return sorted(path for path in wanted if path.suffix in _SUFFIXES and path.is_file())


def _fail(error: OSError) -> None:
    raise error


def plan(task: Task, name: str, path: Path) -> list[Part]:
    """The parts of a file. Raises DataError for one that cannot be scored."""
    with _naming(path):
        return (_plan_parquet if path.suffix == ".parquet" else _plan_csv)(task, name, path)


def read(task: Task, part: Part) -> Iterator[Rows]:
    """The rows of a part, in their order, some at a time. Raises DataError where it cannot be read."""
    with _naming(part.path):
        yield from (_read_parquet if part.path.suffix == ".parquet" else _read_csv)(task, part)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Arrow's errors, most of which do not name the file, as a DataError that does."""
    try:
        yield
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None


def _plan_parquet(task: Task, name: str, path: Path) -> list[Part]:
    with pq.ParquetFile(path) as file:
        columns.check_schema(task, file.schema_arrow, str(path))
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    parts: list[Part] = []
    start, first, rows = 0, 1, 0
    for i, size in enumerate(sizes):
        rows += size
        if rows >= PART_ROWS or i == len(sizes) - 1:
            parts.append(Part(path, name, len(parts), first, rows, start, i + 1))
            start, first, rows = i + 1, first + rows, 0
    return parts


def _read_parquet(task: Task, part: Part) -> Iterator[Rows]:
    choices = [field.name for field in task.fields if field.kind == "category"]
    with pq.ParquetFile(part.path, buffer_size=2**20, read_dictionary=choices) as file:
        wanted = [name for name in task.field_names if name in file.schema_arrow.names]
        groups = range(part.start, part.end)
        for batch in file.iter_batches(BATCH_ROWS, groups, wanted, use_threads=False):
            yield _checked_texts(batch)


def _checked_texts(batch: pa.RecordBatch) -> Rows:
    """The rows, with null where a text is not UTF-8, which Arrow does not check when it reads a file."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        pass
    else:
        return batch, {}
    arrays, faults = {}, {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        arrays[name] = column
        if columns.holds_text(column.type):
            texts = column.cast(pa.binary()).to_pylist()
            for i, text in enumerate(texts):
                if not _is_utf8(text):
                    texts[i], faults[i] = None, f"{name} is not UTF-8 text"
            arrays[name] = pa.array(texts, pa.binary()).cast(pa.string())
    return pa.record_batch(arrays), faults


def _is_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _plan_csv(task: Task, name: str, path: Path) -> list[Part]:
    names, start = _header(path)
    columns.check_schema(task, pa.schema([(n, pa.string()) for n in names]), str(path))
    parts: list[Part] = []
    first, size = 1, path.stat().st_size
    with path.open("rb") as file:
        while start < size:
            end = _line_end(file, start + PART_BYTES, size)
            rows = _count_lines(file, start, end)
            parts.append(Part(path, name, len(parts), first, rows, start, end))
            first, start = first + rows, end
    return parts


def _header(path: Path) -> tuple[list[str], int]:
    """The names in the first line, and where the second one begins."""
    with path.open("rb") as file:
        line = file.readline(_LONGEST_HEADER)
    try:
        text = line.decode("utf-8-sig")
        (names,) = csv.reader([text], strict=True)
    except UnicodeDecodeError as error:
        fault = f"not a CSV file (byte {error.start} is no UTF-8 text)"
        raise DataError(f"{path}: {fault}") from None
    except (ValueError, csv.Error):
        names = []
    if not names:
        raise DataError(f"{path}: its first line must name the columns")
    if words := other_separator(names):
        raise DataError(f"{path}: {words}")
    return [name.strip() for name in names], len(line)


def _line_end(file: io.BufferedReader, position: int, size: int) -> int:
    """Where the line that `position` lies in ends."""
    if position >= size:
        return size
    file.seek(position)
    file.readline()
    return file.tell()


def _count_lines(file: io.BufferedReader, start: int, end: int) -> int:
    file.seek(start)
    count, left, last = 0, end - start, b"\n"
    while left:
        block = _block(file, min(left, BLOCK_BYTES))
        count += block.count(b"\n")
        left -= len(block)
        last = block[-1:]
    return count + (last != b"\n")


def _block(file: io.BufferedReader, size: int) -> bytes:
    """The next `size` bytes, all of which were there before. Raises DataError if they no longer are."""
    block = file.read(size)
    if len(block) < size:
        raise DataError(f"{file.name}: has become shorter while it was read")
    return block


def _read_csv(task: Task, part: Part) -> Iterator[Rows]:
    names, _ = _header(part.path)
    with part.path.open("rb") as file:
        start = part.start
        while start < part.end:
            end = _line_end(file, start + BLOCK_BYTES, part.end)
            file.seek(start)
            yield _parse(task, names, _block(file, end - start))
            start = end


def _parse(task: Task, names: list[str], block: bytes) -> Rows:
    """The lines of a block: by Arrow if their form is right, one by one if it is not."""
    numbers = {f.name: pa.float64() for f in task.fields if f.kind in ("number", "integer")}
    texts = {name: pa.string() for name in names}
    n_lines = _lines_of(block)
    if block.count(b"\r") == block.count(b"\r\n"):  # for Arrow another one ends a line
        for types in (texts | numbers, texts):
            try:
                table = _parse_fast(task, names, block, types)
            except pa.ArrowInvalid:
                continue
            if table.num_rows == n_lines:  # else a cell has a line break in it, or a line is empty
                (batch,) = table.combine_chunks().to_batches()
                return batch, {}
    return _parse_lines(task, names, block)


def _lines_of(block: bytes) -> int:
    """How many lines a block has, be the last one ended or not."""
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _parse_fast(
    task: Task, names: list[str], block: bytes, types: dict[str, pa.DataType]
) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(block),
        pa_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
        pa_csv.ParseOptions(newlines_in_values=False),
        pa_csv.ConvertOptions(
            column_types=types,
            include_columns=[name for name in task.field_names if name in names],
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _parse_lines(task: Task, names: list[str], block: bytes) -> Rows:
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    cells: list[list[str | None]] = []
    faults = {}
    for i, line in enumerate(lines):
        try:
            cells.append(_cells(line, len(names)))
        except ValueError as error:
            faults[i] = str(error)
            cells.append([None] * len(names))
    by_name = dict(zip(names, zip(*cells, strict=True), strict=True))
    known = [name for name in task.field_names if name in names]
    return pa.record_batch({name: pa.array(by_name[name], pa.string()) for name in known}), faults


def _cells(line: bytes, width: int) -> list[str | None]:
    if not line.strip():
        raise ValueError("the line is empty")
    try:
        (cells,) = csv.reader([line.decode().removesuffix("\r")], strict=True)
    except UnicodeDecodeError:
        raise ValueError("the line is not UTF-8 text") from None
    except csv.Error as error:
        raise ValueError(f"the line cannot be read: {error}") from None
    if len(cells) != width:
        raise ValueError(f"the line has {len(cells)} cells, the header has {width}")
    return [cell or None for cell in cells]
