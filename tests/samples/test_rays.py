"""Samples in parts on Ray: the results of `Samples.read` to the last bit, also when a worker is killed."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from commandline import dagame

import dagame as dg
from dagame.errors import SamplesError
from dagame.samples import Samples
from dagame.samples.stream import streamed

pytest.importorskip("ray", reason="Ray is not installed (the extra ray)")

COLUMNS = {"class_by": "q", "context_by": "f", "correct": "ok"}


def write(folder, files=3):
    folder.mkdir()
    for k in range(files):
        rows = (
            {
                "q": f"q{i % 13}",
                "f": i % 2,
                "completion": f"#### {i * i % 5}",
                "ok": i % 3 / 2,
                "n": i,
            }
            for i in range(60 * k, 60 * (k + 1))
        )
        (folder / f"{k}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def engine():
    """One engine of two cores for all tests, joined by the runs in its process."""
    from dagame.samples.stream.engine import started

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "_OF_A_PART", (2 << 30) // 1500 // 8)
        patch.setattr(streamed, "_OF_A_ROW", (2 << 30) // 60 // 8)
        ray, _ = started(None, 96 << 20)
        yield ray
        ray.shutdown()


def test_a_file_that_the_tasks_did_not_sign_is_not_unpickled(tmp_path):
    from dagame.samples.stream.rays import OnRay, Run, keep
    from dagame.samples.stream.shelf import Shelf

    shelf, run = Shelf(tmp_path), Run()
    driver = OnRay.__new__(OnRay)
    driver.shelf = shelf
    keep(shelf, run, 0, {"a": 1})
    assert driver._result(run, 0) == {"a": 1}
    keep(shelf, Run(run.name), 1, {"a": 1})
    with pytest.raises(SamplesError, match="changed by something else"):
        driver._result(run, 1)
    assert str(run.key) not in repr(run)


def test_a_full_disk_is_no_file_that_cannot_be_read():
    from dagame.errors import OutputError
    from dagame.samples.stream.load import Gathered

    found = Gathered(skip=True)
    found.fail(SamplesError("b.jsonl: line 2: no JSON."))
    assert (found.failed, found.notes) == (1, ["left out: b.jsonl: line 2: no JSON."])
    with pytest.raises(OutputError, match="no space"):
        found.fail(OutputError("no space is left."))
    with pytest.raises(SamplesError, match="no JSON"):
        Gathered(skip=False).fail(SamplesError("no JSON"))


def workers(*names):
    """Processes of this engine that bear one of these names, which tell what they run."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
            parent = (place.parent / "stat").read_text().rpartition(")")[2].split()[1]
            above = (Path("/proc") / parent / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if words.startswith(names) and int(above) == os.getpid():
            found.append(int(place.parent.name))
    return found


def test_the_same_as_at_once_and_after_a_worker_is_killed(engine, tmp_path):
    folder = write(tmp_path / "in")
    plain = Samples.read(folder, **COLUMNS).solve(dg.Coherence(1.0), beta=1.0)
    killed = []

    def kill():
        while not killed:
            for number in workers(b"ray::MapBatches")[:1]:
                os.kill(number, signal.SIGKILL)
                killed.append(number)
            time.sleep(0.05)

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    with Samples.stream(f"file://{folder}", engine="ray", **COLUMNS) as samples:
        assert len(samples.counted) > 3
        assert samples.settings.groups > 1
        found = samples.solve(dg.Coherence(1.0), beta=1.0)
        found.write_rows(tmp_path / "rows.parquet")
        assert {k: v for k, v in found.summary.items() if k != "seconds"} == {
            k: v for k, v in plain.summary.items() if k != "seconds"
        }
        assert found.verdict == plain.verdict
        assert found.reading.as_dict() == plain.reading.as_dict()
        assert found.classes.equals(plain.classes)
    assert killed
    written = pl.read_parquet(tmp_path / "rows.parquet").with_columns(plain.rows["file"])
    assert written.equals(plain.rows)


def test_one_process_spills_and_one_restores(engine):
    assert "RAY_max_io_workers" not in os.environ
    held = [engine.put(np.full(12 << 20, k, dtype=np.uint8)) for k in range(20)]
    assert [int(engine.get(one)[-1]) for one in held] == list(range(20))
    assert len(workers(b"ray::IDLE_Spill", b"ray::SPILL")) == 1
    assert len(workers(b"ray::IDLE_Restore", b"ray::RESTORE")) == 1


def test_of_many_small_results_this_process_holds_one_megabyte(engine):
    """The others are in the store, which spills; see `engine._OWN`."""

    def small():
        return [np.full(50_000, k, dtype=np.uint8) for k in range(40)]

    assert "RAY_task_rpc_inlined_bytes_limit" not in os.environ
    found = engine.remote(num_returns=40)(small).remote()
    engine.wait(found, num_returns=40)
    places = engine.experimental.get_object_locations(found).values()
    assert sum(not place["node_ids"] for place in places) * 50_000 <= 1_000_000


def test_a_damaged_file_is_named_or_counted(engine, tmp_path):
    folder = write(tmp_path / "in", files=2)
    (folder / "bad.jsonl").write_text('{"q": "a", "f": 1, "completion": "#### 1"}\n{"q": "b",\n')
    with pytest.raises(SamplesError, match=r"bad.jsonl, line 2: not valid JSON"):
        Samples.stream(folder, engine="ray", **COLUMNS)
    assert not list(tmp_path.glob(".dagame*"))


def test_the_command_prints_its_numbers_on_standard_output():
    """What Ray says goes to stderr; the verdict and --json - do not."""
    ray = dagame("solve", "--example", "--engine", "ray", "--json", "-")
    whole = dagame("solve", "--example", "--json", "-")
    assert json.loads(ray.stdout)["classes"] == json.loads(whole.stdout)["classes"]
