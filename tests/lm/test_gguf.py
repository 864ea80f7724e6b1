"""GGUF files of a tiny model: converted once, whole or not at all, and taken wherever a model is."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dagame.apps import cli  # noqa: E402
from dagame.apps.command import run  # noqa: E402
from dagame.files import drafts  # noqa: E402
from dagame.lm.models import gguf as converter  # noqa: E402
from dagame.lm.models.loading import pretrained  # noqa: E402

TOKENS = ["<unk>", "<s>", "</s>", *map(chr, range(33, 127)), "ab"]
WIDTH, HIDDEN = 32, 64


def write_gguf(path, seed):
    """A Llama of one layer with a byte-level tokenizer; its tensors by their names in the file."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(TOKENS))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd": (len(TOKENS), WIDTH), "output": (len(TOKENS), WIDTH)}
    shapes |= {f"blk.0.attn_{k}": (WIDTH, WIDTH) for k in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{k}": (HIDDEN, WIDTH) for k in ("gate", "up")}
    shapes |= {"blk.0.ffn_down": (WIDTH, HIDDEN)}
    shapes |= {f"{k}_norm": (WIDTH,) for k in ("output", "blk.0.attn", "blk.0.ffn")}
    tensors = {
        f"{k}.weight": (0.3 * rng.standard_normal(s)).astype(np.float32) for k, s in shapes.items()
    }
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file, its tensors, and the folder that it was converted into."""
    folder = tmp_path_factory.mktemp("gguf")
    tensors = write_gguf(folder / "a.gguf", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGAME_CACHE_DIR", str(folder / "cache"))
        yield folder / "a.gguf", tensors, converter.folder_of(folder / "a.gguf")


@pytest.fixture
def empty(tmp_path, monkeypatch, made):
    """An empty cache: where the file's model would be in it."""
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(tmp_path))
    return converter.models_folder() / made[2].name


def refuse(*_):
    raise AssertionError("converted again")


def test_the_folder_has_the_weights_and_tokens_of_the_file(made, monkeypatch):
    file, tensors, folder = made
    monkeypatch.setattr(converter, "_convert", refuse)
    model = pretrained(transformers.AutoModelForCausalLM, file)
    found = model.state_dict()
    for ours, theirs in (
        ("model.embed_tokens", "token_embd"),
        ("lm_head", "output"),
        ("model.layers.0.mlp.down_proj", "blk.0.ffn_down"),
        ("model.layers.0.self_attn.v_proj", "blk.0.attn_v"),
        ("model.norm", "output_norm"),
    ):
        np.testing.assert_array_equal(found[f"{ours}.weight"], tensors[f"{theirs}.weight"])
    ids = pretrained(transformers.AutoTokenizer, folder)("1+abb", add_special_tokens=False)
    assert [TOKENS[t] for t in ids["input_ids"]] == ["1", "+", "ab", "b"]


HALF = """
import sys
from dagame.lm.models import gguf

def half(path, folder):
    (folder / "model.safetensors").write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.readline()
    shutil.copytree(sys.argv[2], folder, dirs_exist_ok=True)

import shutil
gguf._convert = half
print(gguf.folder_of(sys.argv[1]), flush=True)
"""


@pytest.fixture
def other(made):
    """Another process in the middle of a conversion."""
    argv = [sys.executable, "-c", HALF, str(made[0]), str(made[2])]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, text=True, stdin=pipe, stdout=pipe) as process:
        yield process
        process.kill()


def test_a_conversion_killed_half_way_leaves_no_model(made, empty, other, monkeypatch):
    assert other.stdout.readline() == "half\n"
    [draft] = empty.parent.iterdir()
    assert (draft / "model.safetensors").read_bytes() == b"half"
    other.kill()
    other.wait()
    assert not empty.exists()
    shutil.copytree(draft, empty)  # as if it had been renamed half-made
    monkeypatch.setattr(
        converter, "_convert", lambda _, to: shutil.copytree(made[2], to, dirs_exist_ok=True)
    )
    assert converter.folder_of(made[0]) == empty
    assert [p.name for p in empty.parent.iterdir()] == [empty.name]
    assert (empty / "model.safetensors").read_bytes() == (
        made[2] / "model.safetensors"
    ).read_bytes()


@pytest.mark.skipif(drafts.fcntl is None, reason="the system has no locks of this kind")
def test_the_second_of_two_processes_waits_and_takes_what_the_first_made(
    made, empty, other, monkeypatch
):
    assert other.stdout.readline() == "half\n"
    monkeypatch.setattr(converter, "_convert", refuse)
    found = []
    second = threading.Thread(target=lambda: found.append(converter.folder_of(made[0])))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    assert not empty.exists()
    other.stdin.write("on\n")
    other.stdin.flush()
    second.join(30)
    assert found == [empty]
    assert json.loads((empty / converter.COMPLETE).read_text())["file"] == "a.gguf"
    assert other.stdout.readline().strip() == str(empty)


def test_a_gguf_file_is_certified_against_another(made, tmp_path, monkeypatch, capsys):
    write_gguf(made[0].with_name("b.gguf"), 1)
    rows = [{"q": k, "prompt": f"{k}+{k}{end}"} for k in range(2) for end in ("=", "is")]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = "--class q --extract (.) --max-new-tokens 2 --samples 4 --truncated read --json -"
    argv = [made[0].with_name("b.gguf"), tmp_path / "q.jsonl", "--reference", "~/a.gguf"]
    monkeypatch.setenv("HOME", str(made[0].parent))
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(made[2].parents[1]))
    monkeypatch.setattr(sys, "argv", ["dagame", "certify", *map(str, argv), *options.split()])
    monkeypatch.setattr("dagame.apps.command._reserve_streams", lambda: None)
    with pytest.raises(SystemExit) as stopped:
        run(cli.app, "dagame")
    told = capsys.readouterr()
    assert not stopped.value.code, told.err
    found = json.loads(told.out)
    assert found["settings"]["model"].endswith("b.gguf")
    assert found["certificate"]["kl"] > 0.1  # two unlike models
