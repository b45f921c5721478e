"""Keeps a worker's resident memory to what its work needs."""

import ctypes
import mmap
import re
from pathlib import Path

from shared.questions.tokens import count_tokens

MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(/.*)")


def load_tokenizer() -> None:
    """Load the tokenizer's tables, then give back the pages of the file that they were unpacked from.

    The packed tables (33 MB) are read once and stay resident all the same, in each process. Should anything read them
    again, they come back from the file.
    """
    count_tokens("")
    drop_file_pages("bpe_openai/_bindings")


def drop_file_pages(part_of_path: str) -> None:
    """Unmap, until they are read again, the pages of read-only file mappings in which nothing was ever written.

    A mapping with a page of its own (relocations, say) is left alone: that page is in no file.
    """
    try:
        smaps = Path("/proc/self/smaps").read_text()
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):  # not a Linux that tells or can: the pages stay
        return
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for begin, end, permissions, path, details in _mappings(smaps):
        untouched = re.search(r"^Anonymous: +0 kB$", details, re.MULTILINE)
        if part_of_path in path and permissions == "r--p" and untouched:
            madvise(begin, end - begin, mmap.MADV_DONTNEED)


def _mappings(smaps: str) -> list[tuple[int, int, str, str, str]]:
    """Begin, end, permissions, path and the lines behind, of each mapping of a file."""
    heads = list(MAPPING.finditer(smaps))
    ends = [head.start() for head in heads[1:]] + [len(smaps)]
    return [
        (int(head[1], 16), int(head[2], 16), head[3], head[4], smaps[head.end() : end])
        for head, end in zip(heads, ends, strict=True)
    ]
