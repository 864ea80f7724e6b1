"""What a certificate stands on: sentences that say what is proved, what was checked, what is assumed."""

from __future__ import annotations

from dataclasses import dataclass


class Condition(str):
    """A condition of T4 in a sentence; `needs` is what remains to be believed, "" if nothing does."""

    needs: str

    def __new__(cls, text: str, needs: str = "") -> Condition:
        """See the class."""
        made = super().__new__(cls, text)
        made.needs = needs
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.needs


@dataclass(frozen=True)
class Checked:
    """What comparing `value` and `reward` of an objective from outside the package has found.

    `points` and `chords` count those at which everything held; `unresolved` says why slopes could not
    be compared, `convex` the chord that refutes concavity where the objective states none.
    """

    points: int = 0
    chords: int = 0
    unresolved: str = ""
    convex: str = ""


GRADIENT, CONCAVE = "reward is the gradient of value", "the objective is concave"


def of_gradient(name: str, found: Checked | None) -> Condition:
    """Whether `reward` belongs to `value`."""
    if found is None:
        return Condition(f"{name}: not checked (check=False)", GRADIENT)
    if not found.points:
        why = found.unresolved or "no point to compare at"
        return Condition(f"{name}: {GRADIENT}: not decided by differences ({why})", GRADIENT)
    points = f"{found.points} point{'s' * (found.points > 1)}"
    return Condition(f"{name}: {GRADIENT}: checked by differences at {points}")


def of_concavity(
    name: str,
    concave: bool | None,
    mu: float,
    own: bool,
    found: Checked | None,
    known: str = "",
) -> Condition:
    """Whether a term is concave, or how far from it (mu); `name` is "" for the whole objective.

    `known` says how it is known where nothing proves it, such as "on the points tried".
    """
    at = f"{name}: " if name else ""
    if concave is None and mu >= 0:
        if found is not None and found.convex:
            said = f"not stated, and refuted: {found.convex}"
            return Condition(f"{at}concave: {said}", f"{CONCAVE}, which a chord refutes")
        held = found is not None and found.chords
        if known:
            return Condition(f"{at}concave: {known}", CONCAVE)
        seen = f"no violation on {found.chords} chords" if found and held else "not checked"
        return Condition(f"{at}concave: not stated, {seen}", CONCAVE)
    fact = "concave" if concave else f"curvature mu = {mu:.4g} (T6)"
    return Condition(f"{fact}: proved") if not own else _declared(name, fact, found)


def of_smoothness(name: str, smoothness: float | None, found: Checked | None) -> Condition:
    """L of a term with a negative factor, whose curvature is minus that."""
    if smoothness is None:
        return Condition(f"-{name}: concave: not stated", CONCAVE)
    return _declared(name, f"smoothness L = {smoothness:.4g}", found)


def _declared(name: str, fact: str, found: Checked | None) -> Condition:
    if found and found.chords:
        return Condition(f"{name}: {fact}: declared, checked on {found.chords} chords")
    return Condition(
        f"{name}: {fact}: declared, not checked",
        CONCAVE if fact == "concave" else f"{name} has {fact}",
    )
