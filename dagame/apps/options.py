"""Options that are checked, or mean another one, before the work starts."""

from __future__ import annotations

from ..conformal import least_questions
from ..errors import DagameError
from ..provenance import not_installed


def correct_limits(text: str) -> tuple[float, float]:
    """Two numbers, with a comma or a blank between them."""
    try:
        low, high = map(float, text.replace(",", " ").split())
    except ValueError:
        raise DagameError(
            f"--correct-range is {text!r}; write the labels of wrong and right, such as -1,1."
        ) from None
    return low, high


def check_device(name: str) -> None:
    """Refuse a device before the work; torch is needed from here on."""
    try:
        from ..scale import resolve_device
    except ImportError:
        raise DagameError(
            f"{not_installed('torch', 'torch', '--device')}; or leave --device out for numpy."
        ) from None
    resolve_device(name)


def check_level(calibrate: str | None, alpha: float | None, seed: int | None) -> None:
    """Refuse an alpha that is none, and options of `--calibrate` without it."""
    for name, value in (("--alpha", alpha), ("--seed", seed)):
        if calibrate is None and value is not None:
            raise DagameError(f"{name} belongs to --calibrate COLUMN, which is not there.")
    if seed is not None and seed < 0:
        raise DagameError(f"--seed is {seed}; give a whole number of at least 0.")
    if alpha is not None:
        least_questions(alpha)


def right_answers(
    calibrate: str | None, correct: list[str] | None, gold: list[str] | None
) -> list[str] | None:
    """The columns of right answers: that of `--calibrate` is one, but for the labels of `--correct`."""
    if calibrate is None or calibrate in (correct or ()) or calibrate in (gold or ()):
        return gold
    if gold:
        raise DagameError(
            f"--calibrate is {calibrate!r} and --gold {gold[0]!r}; one column says what is right."
        )
    return [calibrate]
