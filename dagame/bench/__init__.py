"""`dagame-bench`: equivalence, scaling, solvers, estimators and the embedded language model, measured."""

from __future__ import annotations


def main() -> None:
    """Run the command line of the benchmarks (`dagame-bench`, `python -m dagame.bench`)."""
    from .cli import main as run

    run()
