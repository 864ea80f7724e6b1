"""One worker, one thread; hypothesis without deadlines, derandomised, so that CI repeats itself."""

import gc
import os
import tempfile

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DAGAME_CACHE_DIR", tempfile.mkdtemp(prefix="dagame-cache-"))

import numpy as np
import pytest
from dependencies import is_listed
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=20 * int(os.environ.get("DAGAME_TORTURE", "1")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")


def pytest_addoption(parser):
    parser.addoption(
        "--shapes", action="store_true", help="check shapes at every call (jaxtyping, beartype)"
    )


def pytest_configure(config):
    if config.getoption("--shapes", default=False):
        import shape_checks

        shape_checks.install()


def pytest_collection_modifyitems(items):
    for item in items:
        if is_listed(item.nodeid):
            item.add_marker("dependency")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Collecting tests is importing, and what that makes stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _what_is_loaded_stays():
    """A full collection, which trainers ask for at every turn, need not walk what was imported so far."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _namespaces():
    yield pytest.param("numpy", id="numpy")
    yield pytest.param("torch", id="torch")
    yield pytest.param("strict", id="array-api-strict")


@pytest.fixture(params=list(_namespaces()))
def xp(request):
    """A function that makes arrays of one backend from nested lists or numpy arrays."""
    if request.param == "numpy":
        return np.asarray
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
        return lambda values: torch.as_tensor(np.asarray(values))
    strict = pytest.importorskip("array_api_strict")
    return lambda values: strict.asarray(np.asarray(values))


@pytest.fixture(params=["arrays", "kernel"])
def arrays_and_kernel(request, monkeypatch):
    """On arrays alone, and with compiled kernels from the first game on."""
    from dagame.numerics import fast

    if request.param == "kernel":
        pytest.importorskip("numba")
    monkeypatch.setattr(fast, "LOADING", 0.0 if request.param == "kernel" else np.inf)
    return request.param
