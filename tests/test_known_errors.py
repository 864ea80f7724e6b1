"""The real errors of other packages that are known by their text, and names that they must go on having."""

import io
import json
import warnings
from pathlib import Path

import polars as pl
import pytest

from dagame.files.output import system_reason
from dagame.known_errors import (
    connection_lost,
    damaged,
    needs_own_code,
    refused_by_the_system,
    system_number,
)

FULL = Path("/dev/full")
FRAME = pl.DataFrame({"x": range(100_000)})
full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@full
def test_a_full_disk_under_polars():
    with pytest.raises(Exception, match=r".") as by_path:
        FRAME.write_parquet(FULL)
    with FULL.open("wb") as stream, pytest.raises(Exception, match=r".") as by_stream:
        FRAME.write_parquet(stream)
    for caught in (by_path, by_stream):
        assert system_reason(caught.value) == "No space left on device"
    assert isinstance(by_path.value, OSError) or system_number(by_path.value) == 28


@full
def test_a_full_disk_under_torch():
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception, match=r".") as caught:
        torch.save({"x": torch.zeros(1_000_000)}, FULL)
    assert system_reason(caught.value)
    assert refused_by_the_system(ValueError("no such column")) is None


def test_a_damaged_file_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    buffer, more = io.BytesIO(), io.BytesIO()
    torch.save({"x": torch.zeros(1000)}, buffer)
    torch.save({"x": Path("x")}, more)
    whole, path = buffer.getvalue(), tmp_path / "x.pt"
    for content in (whole[:-200], whole[: len(whole) // 2], b"no archive at all", more.getvalue()):
        path.write_bytes(content)
        with pytest.raises(Exception, match=r".") as caught:
            torch.load(path, weights_only=True)
        assert damaged(caught.value), repr(caught.value)
    assert torch.load(io.BytesIO(whole), weights_only=True)["x"].shape == (1000,)
    assert not damaged(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_damaged_file_of_safetensors(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    path = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Exception, match=r".") as caught:
        load_file(path)
    assert damaged(caught.value)


def test_a_lost_process():
    pytest.importorskip("trl")
    pytest.importorskip("resource")
    from commandline import parent
    from forks import TRAINING

    first, _ = parent(TRAINING).ranks([], call="faults:lose_a_process")
    assert first.said.startswith("True "), first
    assert not connection_lost(RuntimeError("out of memory"))


def test_a_model_that_brings_code(tmp_path):
    transformers = pytest.importorskip("transformers")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    (tmp_path / "own.py").write_text("raise SystemExit")
    with pytest.raises(ValueError, match=r".") as caught:
        transformers.AutoConfig.from_pretrained(str(tmp_path), trust_remote_code=False)
    assert needs_own_code(caught.value)


@pytest.mark.parametrize("letter", ["\N{CJK UNIFIED IDEOGRAPH-4E00}", "\N{DEVANAGARI LETTER KA}"])
def test_a_letter_that_the_font_lacks(letter):
    from matplotlib.figure import Figure

    from dagame.known_errors import NO_GLYPH

    figure = Figure()
    figure.text(0.5, 0.5, letter)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", NO_GLYPH, UserWarning)
        with pytest.raises(UserWarning, match=NO_GLYPH):
            figure.savefig(io.BytesIO(), format="svg")


HARMLESS = """
max_length max_new_tokens stop_strings max_time early_stopping num_beam_groups num_return_sequences
length_penalty diversity_penalty use_cache cache_implementation cache_config max_cache_len
return_legacy_cache prefill_chunk_size output_attentions output_hidden_states output_scores
output_logits return_dict_in_generate pad_token_id bos_token_id eos_token_id decoder_start_token_id
is_assistant num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold
assistant_early_exit assistant_lookbehind target_lookbehind prompt_lookup_num_tokens
max_matching_ngram_size speculation_type disable_compile compile_config low_memory
continuous_batching_config remove_invalid_values renormalize_logits transformers_version
"""
"""Of transformers' settings of generation: lengths, caches, outputs, beams (which num_beams refuses) and
speed; assisted decoding, which needs an assistant."""


def test_settings_of_generation_are_all_known():
    """A setting that the library adds is looked at before it shapes samples in silence."""
    transformers = pytest.importorskip("transformers")
    from dagame.lm.models.sampling import NEUTRAL

    have = {name for name in vars(transformers.GenerationConfig()) if not name.startswith("_")}
    assert sorted(have - set(NEUTRAL) - set(HARMLESS.split())) == []
    assert {"temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty"} <= have


def test_tables_are_cached_where_the_system_keeps_caches(tmp_path, monkeypatch):
    from dagame.estimators.cache import folder

    monkeypatch.delenv("DAGAME_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder().is_relative_to(tmp_path)
    assert "dagame" in folder().parts
