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


NOT_CHECKED = "reward is the gradient of value"


def of_gradient(name: str, found: Checked | None) -> Condition:
    """Whether `reward` belongs to `value`."""
    if found is None:
        return Condition(f"{name}: not checked (check=False)", NOT_CHECKED)
    if not found.points:
        why = found.unresolved or "no point to compare at"
        return Condition(
            f"{name}: reward against value: not told by differences ({why})", NOT_CHECKED
        )
    return Condition(
        f"{name}: reward is the gradient of value: checked by differences at "
        f"{found.points} point{'s' * (found.points > 1)}"
    )


def of_concavity(
    name: str, concave: bool | None, mu: float, own: bool, found: Checked | None
) -> Condition:
    """Whether the part is concave, or how far from it (mu)."""
    tried = f"checked on {found.chords} chords" if found and found.chords else "not checked"
    if concave is None and mu >= 0:
        needs = "the objective is concave"
        if found is not None and found.convex:
            return Condition(
                f"{name}: concave: not stated, and refuted: {found.convex}",
                needs + ", which a chord refutes",
            )
        seen = f"no violation on {found.chords} chords" if found and found.chords else "not checked"
        return Condition(f"{name}: concave: not stated, {seen}", needs)
    fact = "concave" if concave else f"curvature mu = {mu:.4g} (T6)"
    if not own:
        return Condition(f"{fact}: proved")
    if found and found.chords:
        return Condition(f"{name}: {fact}: declared, {tried}")
    needs = "the objective is concave" if concave else f"its curvature is {mu:.4g}"
    return Condition(f"{name}: {fact}: declared, {tried}", needs)
