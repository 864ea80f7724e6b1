"""What a program may not say: refused by its text, before a parser that would open other files sees it."""

from __future__ import annotations

import re

LONGEST = 20_000
"""Characters of a program."""

ALLOWED = frozenset(
    (
        *("true", "false", "inf", "infimum", "sup", "supremum"),
        *("count", "sum", "min", "max"),
        *("minimize", "minimise", "maximize", "maximise"),
        *("show", "const", "defined"),
    )
)
"""Words after # that stay within the program: the rest reach out of it, or steer the solver."""

_DIRECTIVE = re.compile(r"#\s*(\w*)")


def refusal(program: str) -> str:
    """Why a program is not given to the solver; "" for none.

    The test is on the bare text, comments and strings included, so that it does not depend on where
    a lexer thinks a comment ends. `#include` is opened by clingo's parser itself, `#script` holds
    code; neither is let through to it.
    """
    if len(program) > LONGEST:
        return f"it is longer than {LONGEST:,} characters"
    if "\0" in program:
        return "it holds a null character"
    for word in _DIRECTIVE.findall(program):
        if word not in ALLOWED:
            return f"#{word} is not allowed"
    return ""
