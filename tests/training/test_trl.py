"""Our count of trained tokens is that of TRL's own preparation of the same bundle."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from shared.bundle.read import read_rows
from tests.training.models import bpe_tokenizer, small_llama
from training.collating import pad
from training.encoding import IGNORED, encode
from training.masks import check_rows
from training.tokenizing import byte_tokenizer, pad_id_of

# What TRL and transformers say of each other.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def rows(bundle: Path) -> list[dict[str, Any]]:
    return [row for split in ("train", "validation", "test") for row in read_rows(bundle, split)]


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_trained_tokens_are_those_of_sft_trainer(kind: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    tokenizer = byte_tokenizer() if kind == "bytes" else bpe_tokenizer(row["answer"] for row in rows)
    # TRL parses what reads like a special token, which we do not: such rows are told apart by the report.
    rows = [row for row in rows if check_rows(tokenizer, [row]).like_special == 0]
    prepared = sft_trainer(tokenizer, rows, tmp_path)
    ours = encode(tokenizer, rows)
    assert [each["labels"] for each in prepared.train_dataset] == [list(each.labels) for each in ours]
    batch = prepared.data_collator(list(prepared.train_dataset))
    trained = int((batch["labels"] != IGNORED).sum())
    assert trained == sum(each.trained for each in ours) == pad(ours, pad_id_of(tokenizer)).trained
    print(f"{kind}: {len(rows)} rows, {trained:,} trained tokens")


def sft_trainer(tokenizer: Any, rows: list[dict[str, Any]], folder: Path) -> Any:
    """The real one, up to where its data are prepared."""
    data = Dataset.from_list([{"prompt": row["prompt"], "completion": row["completion"]} for row in rows])
    options = SFTConfig(output_dir=str(folder), max_length=None, use_cpu=True, report_to="none", disable_tqdm=True)
    model = small_llama(len(tokenizer))
    return SFTTrainer(model=model, args=options, train_dataset=data, processing_class=tokenizer)
