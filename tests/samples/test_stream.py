"""Samples in parts: the results of `Samples.read` to the last bit, whatever the parts, or a refusal."""

import gc
import gzip
import json
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from commandline import dagame
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import dagame as dg
from dagame.errors import SamplesError
from dagame.lm.spec import named_objective
from dagame.numerics.exact import ExactSum, exact_mean
from dagame.objectives.names import NAMES
from dagame.samples import Samples
from dagame.samples.stream import local, streamed

COLUMNS = {"class_by": "q", "context_by": "f"}


def rows(count=120, seed=0, **more):
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        q, f = int(rng.integers(0, 25)), int(rng.integers(0, 3))
        answer = (7 * q + rng.geometric(0.5)) % 11
        text = f"step {k}\n#### {answer}" if k % 9 else "no idea"
        label = float(rng.integers(0, 5)) / 4 if k % 7 else None
        row = {"q": f"q{q}", "f": f, "completion": text, "ok": label, "gold": [str(q % 11)]}
        made.append(row | {"n": k, "truncated": k % 31 == 5} | {c: v(k) for c, v in more.items()})
    return made


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def parts(monkeypatch):
    """Parts of so many bytes, and groups of classes of so many rows."""

    def set_sizes(size, group=40):
        monkeypatch.setattr(streamed, "_OF_A_PART", (2 << 30) // size)
        monkeypatch.setattr(streamed, "_OF_A_ROW", (2 << 30) // group)

    return set_sizes


def said(found):
    left_out = {"seconds"}
    summary = {k: v for k, v in found.summary.items() if k not in left_out}
    return summary, found.verdict, found.intervals, found.reading.as_dict()


def assert_same(tmp_path, path, objective=None, least=2, **options):
    """In parts as at once: every row, every class, every word."""
    options = COLUMNS | options
    objective = objective or dg.Coherence(1.0)
    plain = Samples.read(path, **options).solve(objective, beta=1.0)
    with Samples.stream(path, **options) as samples:
        assert len(samples.counted) >= least
        found = samples.solve(objective, beta=1.0)
        found.write_rows(tmp_path / "rows.parquet")
        assert said(found) == said(plain)
        assert found.classes.equals(plain.classes)
        kept = samples.work.shelf.folder
        assert kept.exists()
    assert not kept.exists()
    written = pl.read_parquet(tmp_path / "rows.parquet")
    assert written.schema == plain.rows.schema
    assert written.equals(plain.rows)
    return plain


@pytest.mark.parametrize(
    "name", ["s.jsonl", "s.parquet", "s.csv", "s;.csv", "s.jsonl.gz", "s.jsonl.zst"]
)
def test_every_format_in_parts(tmp_path, parts, name):
    parts(2000 if name in ("s.jsonl", "s.jsonl.gz") else 1000)
    path, data = tmp_path / name, rows()
    if name == "s.parquet":
        pl.DataFrame(data).write_parquet(path)
    elif name.endswith(".csv"):
        pl.DataFrame(data).drop("gold").write_csv(path, separator=";" if ";" in name else ",")
    else:
        import zstandard

        packed = {"s.jsonl": bytes, "s.jsonl.gz": gzip.compress}
        pack = packed.get(name, zstandard.ZstdCompressor().compress)
        path.write_bytes(pack(lines(data)))
    found = assert_same(tmp_path, path, correct="ok")
    assert found.summary["accuracy_reference"] is not None


@pytest.mark.parametrize(
    "options",
    [
        {"gold": "gold"},
        {"correct": "ok", "no_answer": "drop"},
        {"extract": "gsm8k", "abstain": "^3$", "truncated": "read"},
        {"context_by": None, "extract": r"#### (\d+)"},
        {"class_by": ["f", "q"], "context_by": "file", "where": {"truncated": "false"}},
    ],
)
def test_every_option_over_several_files(tmp_path, parts, options):
    parts(3000)
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(3):
        data = rows(90, seed=k, **({"extra": lambda k: k / 2} if k else {"extra": str}))
        (folder / f"{k}.jsonl").write_bytes(lines(data))
    assert_same(tmp_path, folder, **options)


ROUNDED = {"gini", "geometric-coherence"}
"""Their solvers decide by the worst game of a batch how far a correction goes: alike but for rounding."""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "self-consistency"])
def test_every_objective_solves_a_class_as_if_it_were_alone(name):
    data = pl.DataFrame(rows(150)).with_columns(answer=pl.col("completion").str.tail(1))
    objective = named_objective(name, 1.0)

    def solved(frame):
        samples = Samples.from_answers(frame, "q", "f", correct="ok")
        return samples.solve(objective, beta=1.0).rows

    split = data.group_by(pl.col("q").str.tail(1), maintain_order=True)
    parts = pl.concat([solved(part) for _, part in split]).sort("n")
    assert_frame_equal(parts, solved(data), check_exact=name not in ROUNDED, abs_tol=1e-11)


def test_lists_and_chats_in_parts(tmp_path, parts):
    parts(2000)
    data = [
        {
            "q": k % 7,
            "f": "x",
            "completions": [
                [{"role": "assistant", "content": f"#### {(k + j) % 3}"}] for j in range(4)
            ],
            "score": [0, 1, 0, 1],
            "meta": {"a": k},
        }
        for k in range(80)
    ]
    (tmp_path / "s.jsonl").write_bytes(lines(data))
    assert_same(tmp_path, tmp_path / "s.jsonl", completion="completions", correct="score")


@settings(max_examples=8, deadline=None)
@given(
    bad=st.sets(st.integers(0, 59), max_size=3),
    kinds=st.lists(st.sampled_from([1, 2.5, None, 7]), min_size=4, max_size=4),
    size=st.integers(1500, 6000),
)
def test_bad_lines_and_kinds_of_numbers(tmp_path_factory, bad, kinds, size):
    tmp_path = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "_OF_A_PART", (2 << 30) // size)
        data = lines(rows(60, m=lambda k: kinds[k // 15])).splitlines(keepends=True)
        for k in bad:
            data[k] = data[k][:-3] + b"\n"
        path = tmp_path / "s.jsonl"
        path.write_bytes(b"".join(data))
        found = assert_same(tmp_path, path, least=1, on_error="skip")
        assert found.summary["skipped_lines"] == len(bad)
        if bad:
            message = []
            for read in (Samples.read, Samples.stream):
                with pytest.raises(SamplesError) as error:
                    read(path, **COLUMNS)
                message.append(str(error.value))
            assert message[0] == message[1]
            assert f"line {min(bad) + 1}:" in message[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lines(rows(60)) + lines(rows(60, n=str)), "'n'"),
        (json.dumps(rows(200), indent=1).encode(), "JSON document"),
        (json.dumps(rows(200)).encode(), "a line"),
        (
            lines(rows(60)) + lines([{**r, "completion": [r["completion"]]} for r in rows(60)]),
            "part of the file|mixed",
        ),
        (lines([{**r, "q": r["q"] if r["n"] != 70 else None} for r in rows()]), "'q'.* row 71"),
    ],
)
def test_what_only_the_whole_file_decides_is_refused(tmp_path, parts, data, says):
    parts(2000)
    (tmp_path / "s.jsonl").write_bytes(data)
    with pytest.raises(SamplesError, match=says):
        Samples.stream(tmp_path / "s.jsonl", folder=tmp_path, **COLUMNS)
    assert [p.name for p in tmp_path.iterdir()] == ["s.jsonl"]


def test_quotes_in_parts_of_a_csv(tmp_path, parts):
    parts(1500)
    data = [{**r, "completion": f'say "{r["n"]}"\nthen\n#### {r["n"] % 4}'} for r in rows(120)]
    pl.DataFrame(data).drop("gold").write_csv(tmp_path / "s.csv")
    assert_same(tmp_path, tmp_path / "s.csv")
    text = (tmp_path / "s.csv").read_text().replace('"say ""61""', '"say "61""')
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(SamplesError, match="quoted"):
        Samples.stream(tmp_path / "s.csv", on_error="skip", **COLUMNS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), max_size=30), st.randoms()
)
def test_exact_means_do_not_depend_on_order_or_parts(values, random):
    from fractions import Fraction

    mixed = random.sample(values, len(values))
    cut = len(values) // 3
    parts = [ExactSum.of(np.array(part)) for part in (mixed[:cut], mixed[cut:])]
    wanted = None
    if values:
        exact = sum(map(Fraction, values)) / len(values)
        wanted = exact.numerator / exact.denominator
    assert exact_mean(np.array(values)) == ExactSum.merged(parts).mean() == wanted


def test_what_was_solved_first_stays_when_another_game_is_solved(tmp_path, parts):
    parts(2000)
    (tmp_path / "s.jsonl").write_bytes(lines(rows()))
    with Samples.stream(tmp_path / "s.jsonl", **COLUMNS) as samples:
        first = samples.solve(dg.Coherence(1.0), beta=1.0)
        samples.solve(dg.Coherence(5.0), beta=1.0)
        first.write_rows(tmp_path / "rows.parquet")
    plain = Samples.read(tmp_path / "s.jsonl", **COLUMNS).solve(dg.Coherence(1.0), beta=1.0)
    assert pl.read_parquet(tmp_path / "rows.parquet").equals(plain.rows)


@pytest.mark.parametrize("cells", [[60, 60, 80], [60, 60, 81, 5], [201, 3], [1, 0, 7], []])
def test_no_more_tables_are_held_than_are_looked_at(monkeypatch, cells):
    class Table:
        """A bucket, or a solution, of which it can be told whether it is still held."""

    monkeypatch.setattr(local, "CELLS", 200)
    empty = local.Group(None, None, None, None, (), 0, [], [])
    facts = [SimpleNamespace(cells=n) for n in cells]
    alive = [weakref.WeakSet() for _ in cells]
    held = []

    def groups():
        for fact, tables in zip(facts, alive, strict=True):
            made = Table(), Table()
            tables.update(made)
            yield replace(empty, facts=fact, buckets=[made[0]], solutions=[made[1]])
            del made
            yield None
            gc.collect()
            held.append(sum(f.cells for f, t in zip(facts, alive, strict=True) if len(t)))
            yield replace(empty, lost_rows=1)

    found = local.gathered(groups())
    assert max(held, default=0) <= 200
    assert [g.facts for g in found if g.facts is not None] == facts
    assert sum(g.lost_rows for g in found) == len(cells)
    tables = 0 if sum(cells) > 200 else len(cells)
    assert sum(len(g.buckets) for g in found) == sum(len(g.solutions) for g in found) == tables


def test_of_the_texts_that_are_looked_at_no_others_are_held(tmp_path, parts, monkeypatch):
    parts(200_000)
    monkeypatch.setattr(streamed, "TRIED_ROWS", 10)
    texts = [f"{k} " + "so it goes " * 50 + f"#### {k % 7}" for k in range(4000)]
    made = [{"q": k % 5, "f": 0, "completion": text} for k, text in enumerate(texts)]
    (tmp_path / "s.jsonl").write_bytes(lines(made))
    with Samples.stream(tmp_path / "s.jsonl", **COLUMNS) as samples:
        assert len(samples.counted) > 5
        found = streamed._spread(samples.loaded, samples.work.shelf)
    assert found.to_list() == texts[::400]
    views = [part.to_arrow(compat_level=pl.CompatLevel.newest()) for part in found.get_chunks()]
    assert sum(view.get_total_buffer_size() for view in views) < 3 * sum(map(len, texts[::400]))


def test_the_command_in_parts(tmp_path):
    for name, more in (("a", []), ("b", ["--max-memory", "64MiB"])):
        ran = dagame(
            "solve", "--example", "--no-report", "--json", tmp_path / f"{name}.json",
            "--out", tmp_path / name, *more,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    plain, found = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    for content in (plain, found):
        content.pop("provenance")
        content["summary"].pop("seconds")
    assert plain == found
    tables = [pl.read_parquet(tmp_path / name / "samples.parquet") for name in "ab"]
    assert tables[0].equals(tables[1])
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["samples.parquet"]
    out = "--out", tmp_path / "c", "--max-memory", "64MiB", "--no-report"
    printed = json.loads(dagame("solve", "--example", *out, "--json", "-").stdout)
    assert printed["classes"] == plain["classes"]
    for wrong in (["--max-memory", "2 barrels"], ["--max-memory", "1GiB", "--calibrate", "c"]):
        ran = dagame("solve", "--example", *wrong)
        assert ran.returncode == 2
        assert ran.stderr.count("\n") == 1


def test_a_damaged_file_among_a_hundred_is_named_or_counted(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k, row in enumerate(rows(100)):
        (folder / f"{k:02d}.jsonl.gz").write_bytes(gzip.compress(lines([row])))
    (folder / "42.jsonl.gz").write_bytes(b"\x1f\x8b damaged")
    found = assert_same(tmp_path, folder, on_error="skip", extract="gsm8k")
    assert any("42.jsonl.gz" in note for note in found.summary["notes"])
    with pytest.raises(SamplesError, match=r"42\.jsonl\.gz is a .* gzip file"):
        Samples.stream(folder, extract="gsm8k", **COLUMNS)


def test_options_that_there_are_not_are_named(tmp_path):
    with pytest.raises(TypeError, match=r"^Samples\.stream: .*'colour'"):
        Samples.stream(tmp_path, colour="red")
