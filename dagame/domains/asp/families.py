"""Nine families of problems and three compositions: right program, programs that mean the same, near misses.

$-names are filled in by a problem: k, l kinds; r, s relations; n a predicate of numbers; a, v, w an
attribute and two of its values; o what is asked for; t a threshold, c a comparison; m a level.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """`right` and, by the name of the difference, `same` and `miss`; `arity` of the output predicate."""

    slots: str
    arity: int
    right: str
    same: dict[str, str]
    miss: dict[str, str]


_CLASH = ":- $o(X), $o(Y), $r(X,Y)."
_MINIMISE = "#minimize { N@$m,X : $o(X), $n(X,N) }."
_TWO = "2 { $o(X) : $k(X) } 2. "
_ONE = "1 { $o(X,Y) : $l(Y) } 1 :- $k(X)."
_COLOUR = ":- $o(X,Z), $o(Y,Z), $r(X,Y)."
_PATH = "path(X,Y) :- $r(X,Y). path(X,Z) :- path(X,Y), $r(Y,Z). "
_FAR = _PATH + "$o(X,Y) :- path(X,Y), not $a(Y,$v)."

FAMILIES: dict[str, Family] = {
    "assignment": Family(
        "k l o",
        2,
        _ONE,
        {
            "disjunction": "$o(X,Y) : $l(Y) :- $k(X).",
            "bound": "{ $o(X,Y) : $l(Y) } = 1 :- $k(X).",
            "choice and count": "{ $o(X,Y) } :- $k(X), $l(Y). :- $k(X), #count { Y : $o(X,Y) } != 1.",
            "negation": "$o(X,Y) :- $k(X), $l(Y), not other(X,Y). "
            "other(X,Y) :- $o(X,Z), $l(Y), Y != Z. :- $k(X), not $o(X,_).",
        },
        {
            "at most one": "{ $o(X,Y) : $l(Y) } 1 :- $k(X).",
            "at least one": "1 { $o(X,Y) : $l(Y) } :- $k(X).",
            "two": "2 { $o(X,Y) : $l(Y) } 2 :- $k(X).",
            "kinds swapped": "1 { $o(X,Y) : $k(Y) } 1 :- $l(X).",
            "arguments swapped": "1 { $o(Y,X) : $l(Y) } 1 :- $k(X).",
            "other side": "1 { $o(X,Y) : $k(X) } 1 :- $l(Y).",
            "one to one": _ONE + " :- $o(X,Y), $o(Z,Y), X != Z.",
            "all pairs": "$o(X,Y) :- $k(X), $l(Y).",
        },
    ),
    "constraint": Family(
        "k r o",
        1,
        "{ $o(X) : $k(X) }. " + _CLASH,
        {
            "disjunction": "$o(X) ; out(X) :- $k(X). " + _CLASH,
            "negation": "$o(X) :- $k(X), not out(X). out(X) :- $k(X), not $o(X). " + _CLASH,
            "auxiliary": "{ $o(X) } :- $k(X). clash :- $o(X), $r(X,Y), $o(Y). :- clash.",
            "count": "{ $o(X) : $k(X) }. :- $r(X,Y), #count { 1 : $o(X) ; 2 : $o(Y) } = 2.",
        },
        {
            "no constraint": "{ $o(X) : $k(X) }.",
            "no choice": "$o(X) :- $k(X). " + _CLASH,
            "one order": "{ $o(X) : $k(X) }. :- $o(X), $o(Y), $r(X,Y), X < Y.",
            "no such neighbour": "{ $o(X) : $k(X) }. :- $o(X), $r(X,Y).",
            "must instead": "{ $o(X) : $k(X) }. :- $o(X), not $o(Y), $r(X,Y).",
            "at least one": "1 { $o(X) : $k(X) }. " + _CLASH,
            "constraint alone": _CLASH,
        },
    ),
    "combination": Family(
        "k l o",
        2,
        "$o(X,Y) :- $k(X), $l(Y).",
        {
            "auxiliary": "both(X,Y) :- $l(Y), $k(X). $o(X,Y) :- both(X,Y).",
            "forced choice": "{ $o(X,Y) : $l(Y) } :- $k(X). :- $k(X), $l(Y), not $o(X,Y).",
            "equality": "$o(X,Y) :- $k(X), $l(Z), Y = Z.",
        },
        {
            "arguments swapped": "$o(Y,X) :- $k(X), $l(Y).",
            "different ones": "$o(X,Y) :- $k(X), $l(Y), X != Y.",
            "one order": "$o(X,Y) :- $k(X), $l(Y), X < Y.",
            "one kind": "$o(X,Y) :- $k(X), $k(Y).",
            "diagonal": "$o(X,X) :- $k(X), $l(X).",
            "choice": "{ $o(X,Y) } :- $k(X), $l(Y).",
            "both ways": "$o(X,Y) :- $k(X), $l(Y). $o(Y,X) :- $k(X), $l(Y).",
        },
    ),
    "join": Family(
        "r s o",
        2,
        "$o(X,Z) :- $r(X,Y), $s(Y,Z).",
        {
            "auxiliary": "mid(X,Y) :- $r(X,Y), $s(Y,_). $o(X,Z) :- mid(X,Y), $s(Y,Z).",
            "equality": "$o(X,Z) :- $r(X,Y), $s(W,Z), W = Y.",
            "forced choice": "{ $o(X,Z) } :- $r(X,Y), $s(Y,Z). :- $r(X,Y), $s(Y,Z), not $o(X,Z).",
        },
        {
            "result swapped": "$o(Z,X) :- $r(X,Y), $s(Y,Z).",
            "first swapped": "$o(X,Z) :- $r(Y,X), $s(Y,Z).",
            "second swapped": "$o(X,Z) :- $r(X,Y), $s(Z,Y).",
            "not joined": "$o(X,Z) :- $r(X,Y), $s(W,Z).",
            "other order": "$o(X,Z) :- $s(X,Y), $r(Y,Z).",
            "one relation": "$o(X,Z) :- $r(X,Y), $r(Y,Z).",
            "middle kept": "$o(X,Y) :- $r(X,Y), $s(Y,Z).",
        },
    ),
    "closure": Family(
        "r o",
        2,
        "$o(X,Y) :- $r(X,Y). $o(X,Z) :- $o(X,Y), $r(Y,Z).",
        {
            "right recursion": "$o(X,Y) :- $r(X,Y). $o(X,Z) :- $r(X,Y), $o(Y,Z).",
            "double recursion": "$o(X,Y) :- $r(X,Y). $o(X,Z) :- $o(X,Y), $o(Y,Z).",
            "auxiliary": "step(X,Y) :- $r(X,Y). $o(X,Y) :- step(X,Y). $o(X,Z) :- $o(X,Y), step(Y,Z).",
        },
        {
            "no recursion": "$o(X,Y) :- $r(X,Y).",
            "two steps": "$o(X,Y) :- $r(X,Y). $o(X,Z) :- $r(X,Y), $r(Y,Z).",
            "no start": "$o(X,Z) :- $o(X,Y), $r(Y,Z).",
            "swapped": "$o(Y,X) :- $r(X,Y). $o(X,Z) :- $o(X,Y), $o(Y,Z).",
            "symmetric": "$o(X,Y) :- $r(X,Y). $o(Y,X) :- $o(X,Y). $o(X,Z) :- $o(X,Y), $r(Y,Z).",
            "reflexive": "$o(X,X) :- $r(X,_). $o(X,Y) :- $r(X,Y). $o(X,Z) :- $o(X,Y), $r(Y,Z).",
            "wrong step": "$o(X,Y) :- $r(X,Y). $o(X,Z) :- $o(X,Y), $r(Z,Y).",
        },
    ),
    "preference": Family(
        "k n m o",
        1,
        _TWO + _MINIMISE,
        {
            "weak constraint": _TWO + ":~ $o(X), $n(X,N). [N@$m,X]",
            "maximise the negative": _TWO + "#maximize { -N@$m,X : $o(X), $n(X,N) }.",
            "auxiliary": _TWO + "cost(X,N) :- $o(X), $n(X,N). #minimize { N@$m,X : cost(X,N) }.",
            "choice and count": "{ $o(X) } :- $k(X). :- #count { X : $o(X) } != 2. " + _MINIMISE,
        },
        {
            "maximise": _TWO + "#maximize { N@$m,X : $o(X), $n(X,N) }.",
            "other level": _TWO + "#minimize { N@$m+1,X : $o(X), $n(X,N) }.",
            "double weight": _TWO + "#minimize { 2*N@$m,X : $o(X), $n(X,N) }.",
            "ties count once": _TWO + "#minimize { N@$m : $o(X), $n(X,N) }.",
            "number, not sum": _TWO + "#minimize { 1@$m,X : $o(X), $n(X,N) }.",
            "at most two": "{ $o(X) : $k(X) } 2. " + _MINIMISE,
            "one": "1 { $o(X) : $k(X) } 1. " + _MINIMISE,
            "no preference": _TWO,
        },
    ),
    "filtering": Family(
        "k a v w o",
        1,
        "$o(X) :- $k(X), $a(X,$v).",
        {
            "equality": "$o(X) :- $a(X,V), $k(X), V = $v.",
            "auxiliary": "good(X) :- $a(X,$v). $o(X) :- good(X), $k(X).",
            "double negation": "bad(X) :- $k(X), not $a(X,$v). $o(X) :- $k(X), not bad(X).",
        },
        {
            "empty": "",
            "no filter": "$o(X) :- $k(X).",
            "no kind": "$o(X) :- $a(X,$v).",
            "negated": "$o(X) :- $k(X), not $a(X,$v).",
            "other value": "$o(X) :- $k(X), $a(X,$w).",
            "any value": "$o(X) :- $k(X), $a(X,V).",
            "arguments swapped": "$o(X) :- $k(X), $a($v,X).",
        },
    ),
    "negative filtering": Family(
        "k a v w o",
        1,
        "$o(X) :- $k(X), not $a(X,$v).",
        {
            "auxiliary": "bad(X) :- $a(X,$v). $o(X) :- $k(X), not bad(X).",
            "count": "$o(X) :- $k(X), #count { 1 : $a(X,$v) } = 0.",
            "forced choice": "{ $o(X) : $k(X) }. :- $o(X), $a(X,$v). :- $k(X), not $o(X), not $a(X,$v).",
        },
        {
            "not negated": "$o(X) :- $k(X), $a(X,$v).",
            "has another": "$o(X) :- $k(X), $a(X,V), V != $v.",
            "no filter": "$o(X) :- $k(X).",
            "other value": "$o(X) :- $k(X), not $a(X,$w).",
            "two values": "$o(X) :- $k(X), not $a(X,$v), not $a(X,$w).",
            "has any": "$o(X) :- $k(X), $a(X,_), not $a(X,$v).",
            "empty": "",
        },
    ),
    "numeric filtering": Family(
        "n c t o",
        1,
        "$o(X) :- $n(X,N), N $c $t.",
        {
            "mirrored": "$o(X) :- $t $mirrored N, $n(X,N).",
            "negation": "$o(X) :- $n(X,N), not N $negated $t.",
            "auxiliary": "fits(N) :- $n(_,N), N $c $t. $o(X) :- $n(X,N), fits(N).",
        },
        {
            "one more": "$o(X) :- $n(X,N), N $c $t + 1.",
            "one less": "$o(X) :- $n(X,N), N $c $t - 1.",
            "boundary": "$o(X) :- $n(X,N), N $boundary $t.",
            "other direction": "$o(X) :- $n(X,N), N $mirrored $t.",
            "equal": "$o(X) :- $n(X,N), N = $t.",
            "no filter": "$o(X) :- $n(X,N).",
        },
    ),
    "assignment under constraint": Family(
        "k l r o",
        2,
        f"{_ONE} {_COLOUR}",
        {
            "disjunction": "$o(X,Y) : $l(Y) :- $k(X). " + _COLOUR,
            "auxiliary": _ONE + " together(X,Y) :- $o(X,Z), $o(Y,Z). :- together(X,Y), $r(X,Y).",
            "choice and count": "{ $o(X,Y) } :- $k(X), $l(Y). :- $k(X), #count { Y : $o(X,Y) } != 1. "
            + _COLOUR,
        },
        {
            "no constraint": _ONE,
            "at most one": "{ $o(X,Y) : $l(Y) } 1 :- $k(X). " + _COLOUR,
            "must instead": _ONE + " :- $o(X,Z), $o(Y,W), $r(X,Y), Z != W.",
            "one order": _ONE + " :- $o(X,Z), $o(Y,Z), $r(X,Y), X < Y.",
            "kinds swapped": "1 { $o(X,Y) : $k(Y) } 1 :- $l(X). " + _COLOUR,
            "constraint on slots": _ONE + " :- $o(X,Z), $o(Y,W), $r(Z,W).",
        },
    ),
    "closure, then negative filtering": Family(
        "r a v o",
        2,
        _FAR,
        {
            "right recursion": "path(X,Y) :- $r(X,Y). path(X,Z) :- $r(X,Y), path(Y,Z). "
            "$o(X,Y) :- path(X,Y), not $a(Y,$v).",
            "auxiliary": _PATH + "bad(Y) :- $a(Y,$v). $o(X,Y) :- path(X,Y), not bad(Y).",
            "forced choice": _PATH + "{ $o(X,Y) } :- path(X,Y). :- $o(X,Y), $a(Y,$v). "
            ":- path(X,Y), not $o(X,Y), not $a(Y,$v).",
        },
        {
            "no filter": _PATH + "$o(X,Y) :- path(X,Y).",
            "not negated": _PATH + "$o(X,Y) :- path(X,Y), $a(Y,$v).",
            "start filtered": _PATH + "$o(X,Y) :- path(X,Y), not $a(X,$v).",
            "filter on the way": "$o(X,Y) :- $r(X,Y), not $a(Y,$v). "
            "$o(X,Z) :- $o(X,Y), $r(Y,Z), not $a(Z,$v).",
            "no recursion": "$o(X,Y) :- $r(X,Y), not $a(Y,$v).",
            "swapped": _PATH + "$o(Y,X) :- path(X,Y), not $a(Y,$v).",
        },
    ),
    "join, then numeric filtering": Family(
        "r s n c t o",
        2,
        "$o(X,Z) :- $r(X,Y), $s(Y,Z), $n(Z,N), N $c $t.",
        {
            "two rules": "both(X,Z) :- $r(X,Y), $s(Y,Z). $o(X,Z) :- both(X,Z), $n(Z,N), N $c $t.",
            "filter first": "fits(Z) :- $n(Z,N), N $c $t. $o(X,Z) :- $r(X,Y), $s(Y,Z), fits(Z).",
            "mirrored": "$o(X,Z) :- $n(Z,N), $s(Y,Z), $t $mirrored N, $r(X,Y).",
        },
        {
            "start filtered": "$o(X,Z) :- $r(X,Y), $s(Y,Z), $n(X,N), N $c $t.",
            "middle filtered": "$o(X,Z) :- $r(X,Y), $s(Y,Z), $n(Y,N), N $c $t.",
            "boundary": "$o(X,Z) :- $r(X,Y), $s(Y,Z), $n(Z,N), N $boundary $t.",
            "other direction": "$o(X,Z) :- $r(X,Y), $s(Y,Z), $n(Z,N), N $mirrored $t.",
            "no filter": "$o(X,Z) :- $r(X,Y), $s(Y,Z).",
            "second swapped": "$o(X,Z) :- $r(X,Y), $s(Z,Y), $n(Z,N), N $c $t.",
            "result swapped": "$o(Z,X) :- $r(X,Y), $s(Y,Z), $n(Z,N), N $c $t.",
        },
    ),
}

COMPOSITIONS = tuple(FAMILIES)[9:]

COMPARISONS = {
    ">": {"mirrored": "<", "negated": "<=", "boundary": ">=", "said": "more than"},
    "<": {"mirrored": ">", "negated": ">=", "boundary": "<=", "said": "less than"},
    ">=": {"mirrored": "<=", "negated": "<", "boundary": ">", "said": "at least"},
    "<=": {"mirrored": ">=", "negated": ">", "boundary": "<", "said": "at most"},
}
THRESHOLDS, LEVELS = (2, 3, 4, 5), (1, 2, 3)
