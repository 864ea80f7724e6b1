"""What several of these files ask for: processes that solve a small samples file."""

import pytest


@pytest.fixture(scope="module")
def forks():
    pytest.importorskip("resource")
    from commandline import parent
    from forks import SOLVING

    return parent(SOLVING)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    from dagame.apps.sample_file import sample_file

    return sample_file(tmp_path_factory.mktemp("s") / "s.jsonl", 1, questions=3, samples=4)
