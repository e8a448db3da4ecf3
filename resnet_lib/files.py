"""Files that are whole or not there: hashes checked, writes atomic, downloads renamed only when they are right."""

import hashlib
import http.client
import os
import shutil
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path


class DamagedFileError(ValueError):
    """A file whose bytes are not what they should be. It is left where it is, for inspection."""


def cache_folder() -> Path:
    """Where downloads go: RESNET_LIB_CACHE, or .cache/resnet_lib in the home folder."""
    return Path(os.environ.get("RESNET_LIB_CACHE") or "~/.cache/resnet_lib").expanduser()


def check_hash(
    path: Path, content: bytes, expected: str, algorithm: str = "sha256", advice: str = "move it away and try again"
) -> None:
    """DamagedFileError, with `advice`, unless the hash of `content`, read from `path`, starts with `expected`."""
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if not found.startswith(expected):
        raise DamagedFileError(
            f"{path} is damaged or not the original: its {algorithm} is {found[: max(len(expected), 16)]}, "
            f"expected {expected}. The file was left as it is; {advice}"
        )


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile's: others could not read it. Here the umask decides, as for any file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        write(temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def download(
    url: str, path: Path, expected: str, algorithm: str = "sha256", unpack: Callable[[bytes], bytes] = bytes
) -> Path:
    """Fetch `url` into `path`; the name appears only when the hash of the unpacked bytes is right.

    ConnectionError with no network, and if something else arrives: a login page, or half of the file.
    """

    def fetch(temporary: Path) -> None:
        try:
            with urllib.request.urlopen(url, timeout=30) as response, temporary.open("wb") as out:
                shutil.copyfileobj(response, out)
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(f"could not download {url} ({error}); save it yourself as {path}") from error
        content = temporary.read_bytes()
        try:
            check_hash(path, unpack(content), expected, algorithm)
        except DamagedFileError as error:
            page = b"<html" in content[:1000].lower() or b"<!doctype" in content[:1000].lower()
            what = "a web page, perhaps your network's login" if page else f"{len(content):,} bytes of something else"
            raise ConnectionError(
                f"could not download {url}: {what} came in place of the file, nothing was kept; try again, or save it "
                f"yourself as {path}"
            ) from error

    write_atomic(path, fetch)
    return path
