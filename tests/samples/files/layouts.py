"""The same samples in every layout: each writer gives a source, and the options to read it."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile

import polars as pl
import zstandard

PLAIN = {"class_by": "q", "context_by": "f", "correct": "ok"}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def grouped(rows, *names):
    """{values of the names: rows}."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[n] for n in names), []).append(row)
    return found


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def plain(folder, rows):
    return write(folder / "s.jsonl", lines(rows)), PLAIN


def pretty_array(folder, rows):
    return write(folder / "s.json", json.dumps(rows, indent=2)), PLAIN


def array_on_a_line(folder, rows):
    return write(folder / "s.json", json.dumps(rows)), PLAIN


def object_with_the_list(folder, rows):
    return write(folder / "s.json", json.dumps({"canary": "x", "outputs": rows}, indent=1)), PLAIN


def one_list_of_two(folder, rows):
    document = {"info": {"runs": [{"a": 1}]}, "more": [{"b": 2}], "data": {"rows": rows}}
    return write(folder / "s.json", json.dumps(document)), PLAIN | {"rows": "data.rows"}


def columns(folder, rows):
    table = {name: [row[name] for row in rows] for name in rows[0]}
    return write(folder / "s.json", json.dumps(table)), PLAIN


def columns_of_pandas(folder, rows):
    table = {name: {str(k): row[name] for k, row in enumerate(rows)} for name in rows[0]}
    return write(folder / "s.json", json.dumps(table, indent=1)), PLAIN


def split_of_pandas(folder, rows):
    table = {"columns": list(rows[0]), "index": [*range(len(rows))]}
    table["data"] = [[row[name] for name in rows[0]] for row in rows]
    return write(folder / "s.json", json.dumps(table)), PLAIN


def objects_one_after_the_other(folder, rows):
    return write(folder / "s.json", "\n".join(json.dumps(r, indent=2) for r in rows)), PLAIN


def comma_separated(folder, rows, sign=","):
    path = folder / "s.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=sign)
        writer.writeheader()
        writer.writerows(rows)
    return path, PLAIN


def semicolon_separated(folder, rows):
    return comma_separated(folder, rows, ";")


def tab_separated(folder, rows):
    return comma_separated(folder, rows, "\t")


def sharegpt(folder, rows):
    made = [
        {"q": r["q"], "f": r["f"], "ok": r["ok"],
         "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": r["completion"]}]}
        for r in rows
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), PLAIN


def parquet(folder, rows):
    path = folder / "s.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path, PLAIN


def packed_gz(folder, rows):
    return write(folder / "s.jsonl.gz", gzip.compress(lines(rows).encode())), PLAIN


def packed_zst(folder, rows):
    text = lines(rows).encode()
    half = zstandard.compress(text[: len(text) // 2])
    return write(folder / "s.jsonl.zst", half + zstandard.compress(text[len(text) // 2 :])), PLAIN


def packed_zip(folder, rows):
    path = folder / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("runs/s.json", json.dumps(rows))
        archive.writestr("__MACOSX/runs/._s.json", b"\0")
    return path, PLAIN


def another_suffix(folder, rows):
    return write(folder / "s.txt", lines(rows)), PLAIN | {"format": "jsonl"}


def lists(folder, rows):
    made = [
        {"q": q, "f": f, "n": len(group), "completions": [r["completion"] for r in group],
         "ok": [r["ok"] for r in group]}
        for (q, f), group in grouped(rows, "q", "f").items()
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), PLAIN


def lists_in_parquet(folder, rows):
    path, options = lists(folder, rows)
    frame = pl.read_ndjson(path)
    frame.write_parquet(folder / "s.parquet")
    return folder / "s.parquet", options


def lists_beside_mixed_kinds(folder, rows):
    path, options = lists(folder, rows)
    made = [json.loads(line) for line in path.read_text().splitlines()]
    for k, row in enumerate(made):
        row["mixed"] = k if k % 2 else [k, {"a": k}]
        row["chat"] = "text" if k % 2 else [{"role": "user", "content": []}]
    return write(path, lines(made)), options


def text_or_list(folder, rows):
    made = []
    for (q, f), group in grouped(rows, "q", "f").items():
        texts, right = [r["completion"] for r in group], [r["ok"] for r in group]
        one = len(group) == 1
        made.append(
            {
                "q": q,
                "f": f,
                "completion": texts[0] if one else texts,
                "ok": right[0] if one else right,
            }
        )
    return write(folder / "s.jsonl", lines(made)), PLAIN


def paths(folder, rows):
    made = [
        {"id": {"q": r["q"]}, "f": {"x.y": r["f"]},
         "out": [{"solution": r["completion"], "good": r["ok"] == 1}]}
        for r in rows
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), {
        "class_by": "id.q",
        "context_by": "f.x.y",
        "completion": "out.0.solution",
        "correct": "out.0.good",
    }


def paths_into_each(folder, rows):
    made = [
        {"q": q, "f": f, "out": [{"solution": r["completion"], "good": r["ok"]} for r in group]}
        for (q, f), group in grouped(rows, "q", "f").items()
    ]
    return write(folder / "s.jsonl", lines(made)), PLAIN | {
        "completion": "out.solution",
        "correct": "out.good",
    }


def columns_as_contexts(folder, rows):
    made = [
        {"q": q} | {
            f: {"solution": [r["completion"] for r in g], "is_correct": [r["ok"] for r in g]}
            for (f,), g in grouped(group, "f").items()
        }
        for (q,), group in grouped(rows, "q").items()
    ]  # fmt: skip
    names = sorted({r["f"] for r in rows})
    made = [{"f": names[0], **row} for row in made]
    more = {"context_by": "f"} if len(names) == 1 else {}
    return write(folder / "s.jsonl", lines(made)), {
        "class_by": "q",
        "completion": [f"{name}.solution" for name in names],
        "correct": [f"{name}.is_correct" for name in names],
    } | more


def chat(text):
    """A chat that ends in the text, with other numbers in every turn that does not count."""
    return [
        {"role": "system", "content": "#### 901"},
        {"role": "user", "content": [{"type": "text", "text": "#### 902"}]},
        {"role": "assistant", "content": "#### 903", "tool_calls": [{"id": "a"}]},
        {"role": "tool", "content": "#### 904"},
        {"role": "assistant", "reasoning_content": "#### 905", "content": text},
    ]


def chats(folder, rows):
    made = [{**r, "completion": chat(r["completion"])} for r in rows]
    return write(folder / "s.jsonl", lines(made)), PLAIN


def chats_of_parts(folder, rows):
    def parts(text):
        thought = {"type": "thinking", "thinking": "#### 906"}
        return [{"role": "assistant", "content": [thought, {"type": "text", "text": text}]}]

    made = [{**r, "completion": None, "messages": parts(r["completion"])} for r in rows]
    return write(folder / "s.jsonl", lines(made)), PLAIN | {"completion": "messages"}


def lists_of_chats(folder, rows):
    made = [
        {"q": q, "f": f, "completions": [chat(r["completion"]) for r in group],
         "ok": [r["ok"] for r in group]}
        for (q, f), group in grouped(rows, "q", "f").items()
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), PLAIN


def responses(folder, rows):
    made = [
        {"q": q, "f": f, "ok": [r["ok"] for r in group],
         "choices": [{"index": k, "message": chat(r["completion"])[-1], "finish_reason": "stop"}
                     for k, r in enumerate(group)]}
        for (q, f), group in grouped(rows, "q", "f").items()
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), PLAIN


def output_items(folder, rows):
    def response(text):
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "#### 907"}]}
        said = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }
        call = {"type": "function_call", "arguments": "#### 908"}
        return {"status": "completed", "output": [thought, call, said]}

    made = [{**r, "completion": response(r["completion"])} for r in rows]
    return write(folder / "s.jsonl", lines(made)), PLAIN


def a_file_each(folder, rows):
    for (f,), group in grouped(rows, "f").items():
        made = [{k: v for k, v in r.items() if k != "f"} for r in group]
        write(folder / "runs" / f"{f}.jsonl", lines(made))
    write(folder / "runs" / "README.md", "no samples")
    return folder / "runs", PLAIN | {"context_by": "file"}


def files_of_several_kinds(folder, rows):
    for k, ((f,), group) in enumerate(grouped(rows, "f").items()):
        made = [{name: v for name, v in r.items() if name != "f"} for r in group]
        if k % 2:
            write(folder / "runs" / f"{f}.json", json.dumps(made, indent=1))
        else:
            write(folder / "runs" / f"{f}.jsonl.zst", zstandard.compress(lines(made).encode()))
    return str(folder / "runs" / "*.json*"), PLAIN | {"context_by": "file"}


def list_of_files(folder, rows):
    half = len(rows) // 2
    one, other = (
        write(folder / "1.jsonl", lines(rows[:half])),
        write(folder / "2.json", json.dumps(rows[half:])),
    )
    return ([one, other] if half else [other]), PLAIN


def lm_eval(folder, rows):
    made = [
        {"doc_id": q, "doc": {"answer": "x"}, "f": f, "target": "#### 1", "filter": name,
         "resps": [[r["completion"] for r in group]], "filtered_resps": ["?"], "ok": [r["ok"] for r in group]}
        for (q, f), group in grouped(rows, "q", "f").items()
        for name in ("flexible-extract", "strict-match")
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), {"context_by": "f", "correct": "ok"}


def inspect_log(folder, rows):
    samples = [
        {"id": r["q"], "epoch": k, "input": "?", "target": ["1"], "metadata": {"f": r["f"], "ok": r["ok"]},
         "messages": chat(r["completion"]),
         "output": {"model": "m", "choices": [{"message": chat(r["completion"])[-1], "stop_reason": "stop"}],
                    "completion": r["completion"]}}
        for k, r in enumerate(rows)
    ]  # fmt: skip
    log = {
        "version": 2,
        "status": "success",
        "eval": {"task": "t"},
        "samples": samples,
        "reductions": [{}],
    }
    options = {"context_by": "metadata.f", "correct": "metadata.ok"}
    return write(folder / "s.json", json.dumps(log, indent=1)), options


def inspect_archive(folder, rows):
    path, options = inspect_log(folder, rows)
    samples = json.loads(path.read_text())["samples"]
    with zipfile.ZipFile(folder / "s.eval", "w") as archive:
        archive.writestr("header.json", "{}")
        for k, sample in enumerate(samples):
            archive.writestr(f"samples/{k}_epoch_1.json", json.dumps(sample, indent=1))
    return folder / "s.eval", options


def openai_batch(folder, rows):
    made = [
        {"id": "x", "custom_id": r["q"], "f": r["f"], "ok": r["ok"], "error": None,
         "response": {"status_code": 200, "body": {
             "choices": [{"message": chat(r["completion"])[-1]}]}}}
        for r in rows
    ]  # fmt: skip
    lost = {"custom_id": "lost", "f": "x", "response": None, "error": {"code": "expired"}}
    made.append({"id": "x", **lost})
    return write(folder / "s.jsonl", lines(made)), {"context_by": "f", "correct": "ok"}


def anthropic_batch(folder, rows):
    made = [
        {"custom_id": r["q"], "f": r["f"], "ok": r["ok"],
         "result": {"type": "succeeded", "message": {
             "role": "assistant", "stop_reason": "end_turn",
             "content": [{"type": "text", "text": r["completion"]}]}}}
        for r in rows
    ]  # fmt: skip
    lost = {"custom_id": "lost", "f": "x", "result": {"type": "errored", "error": {"type": "x"}}}
    return write(folder / "s.jsonl", lines([lost, *made])), {"context_by": "f", "correct": "ok"}


def vllm(folder, rows):
    made = [
        {"request_id": "0", "prompt": q, "f": f, "ok": [r["ok"] for r in group],
         "outputs": [{"index": k, "text": r["completion"], "finish_reason": "stop", "stop_reason": None}
                     for k, r in enumerate(group)]}
        for (q, f), group in grouped(rows, "q", "f").items()
    ]  # fmt: skip
    return write(folder / "s.jsonl", lines(made)), {"context_by": "f", "correct": "ok"}


def verl(folder, rows):
    made = [
        {"input": r["q"], "f": r["f"], "output": r["completion"], "gts": None,
         "score": None if r["ok"] is None else 2 * r["ok"] - 1, "step": 1}
        for r in rows
    ]  # fmt: skip
    return write(folder / "rollouts" / "1.jsonl", lines(made)).parent, {
        "context_by": "f",
        "correct": "score",
        "correct_range": (-1, 1),
    }


def frame(folder, rows):
    return pl.DataFrame(rows), PLAIN


def list_of_rows(folder, rows):
    return rows, PLAIN


LAYOUTS = {
    made.__name__: made
    for made in (
        plain, pretty_array, array_on_a_line, object_with_the_list, one_list_of_two, columns,
        columns_of_pandas, split_of_pandas, objects_one_after_the_other, comma_separated,
        semicolon_separated, tab_separated, parquet, sharegpt, packed_gz, packed_zst,
        packed_zip, another_suffix, lists, lists_in_parquet,
        lists_beside_mixed_kinds, text_or_list, paths, paths_into_each, columns_as_contexts, chats,
        chats_of_parts, lists_of_chats, responses, output_items, a_file_each, files_of_several_kinds,
        list_of_files, lm_eval, inspect_log, inspect_archive, openai_batch, anthropic_batch, vllm, verl,
        frame, list_of_rows,
    )
}  # fmt: skip
