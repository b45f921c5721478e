import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

from shared.questions.tokens import count_tokens
from workers.memory import drop_file_pages, load_tokenizer

FORBIDDEN = ("scipy", "pyarrow", "fastapi", "uvicorn", "anthropic", "openai", "tornado", "genai_prices.data")


def test_a_worker_imports_only_what_its_work_needs() -> None:
    look = f"import sys, workers.tasks; print(*[name for name in {FORBIDDEN} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", look], check=True, stdout=subprocess.PIPE, env=environment, timeout=60
    )
    assert run.stdout.split() == []


def test_file_pages_are_dropped_and_come_back(tmp_path: Path) -> None:
    file = tmp_path / "tables"
    file.write_bytes(b"q" * 1_000_000)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        assert mapped[:] == b"q" * 1_000_000
        assert _resident_kb(file) >= 900
        drop_file_pages(str(file))
        assert _resident_kb(file) < 100
        assert mapped[:] == b"q" * 1_000_000


def test_a_mapping_with_pages_of_its_own_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "tables"
    file.write_bytes(b"q" * 1_000_000)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[0] = 0
        # Read-only from now on, as a linker leaves what it has relocated.
        place = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(1_000_000), mmap.PROT_READ) == 0
        drop_file_pages(str(file))
        first = ctypes.string_at(place, 1)
        assert libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(1_000_000), mmap.PROT_READ | mmap.PROT_WRITE) == 0
    assert first == b"\0"


def test_tokens_count_the_same_without_the_pages() -> None:
    text = "What is 12 + 5? Ὅμηρος, 東京, naïve"
    before = count_tokens(text)
    load_tokenizer()
    assert count_tokens(text) == before


def _resident_kb(file: Path) -> int:
    kilobytes, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(maxsplit=1)[0]:
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            kilobytes += int(line.split()[1])
    return kilobytes
