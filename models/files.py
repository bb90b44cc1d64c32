"""Atomic writes of files and folders, and reads that accept regular files only."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".new-"
"""The prefix of what is still being written."""


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file, read once.

    Raises OSError for anything else (a symbolic link, a pipe, a device) and above `limit` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError("not a regular file but a symbolic link") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        with open(descriptor, "rb", closefd=False) as file:  # a descriptor
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(f"larger than {limit / 2**20:g} MiB")
    return content


def check_writable(folder: Path, room: int = 0) -> None:
    """Raise OSError if `folder` could not be created or written to, or its disk has no `room` bytes.

    Creates nothing. For long-running work, to fail before it rather than after.
    """
    whole = folder.absolute()  # "." would tell nobody which folder is meant
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        is_fixed = os.statvfs(there).f_flag & os.ST_RDONLY
        why = errno.EROFS if is_fixed else errno.EACCES
        raise OSError(why, os.strerror(why), str(there))
    disk = shutil.disk_usage(there)
    if disk.total and disk.free < room:  # some file systems do not say their size
        words = (
            f"{disk.free / 2**20:.1f} MiB of the disk are free, and {room / 2**20:.0f} are needed"
        )
        raise OSError(errno.ENOSPC, words, str(there))


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Create `folder` with these files, atomically: after a crash it is there completely or not at all.

    It is written under a temporary name beside it, synced and renamed; an empty folder may be in its
    place. Raises OSError, after removing what was written.
    """
    temporary = neighbour(folder)
    temporary.mkdir(parents=True)
    try:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
            sync(temporary / name)
        sync(temporary)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(folder.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file's content atomically. Raises OSError."""
    with in_place(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def in_place(path: Path) -> Iterator[Path]:
    """A neighbour of `path` to write to, which at the end is synced and takes its name.

    A reader sees the old content or the new one. After an error the neighbour is removed. Raises OSError
    that names a file, `path` unless the system has named another.
    """
    temporary = neighbour(path)
    with naming(path):
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError name `path`, unless it names a file: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def neighbour(path: Path) -> Path:
    """An unused name beside `path`."""
    return path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")


def sync(path: Path) -> None:
    """Sync the content of a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
