"""Every method of estimating f' from counts, by name: tables, counts, trainers and the bench read these."""

from __future__ import annotations

from .exact import U_STATISTIC
from .method import JACKKNIFE, KRICHEVSKY_TROFIMOV, LAPLACE, LEAVE_ONE_OUT, PLUG_IN, Method
from .programs import MINIMAX, VARIANCE_OPTIMAL

BY_NAME: dict[str, Method] = {
    method.name: method
    for method in (
        PLUG_IN,
        LEAVE_ONE_OUT,
        KRICHEVSKY_TROFIMOV,
        LAPLACE,
        JACKKNIFE,
        U_STATISTIC,
        MINIMAX,
        VARIANCE_OPTIMAL,
    )
}

METHODS = tuple(BY_NAME)
"""What `reward_table` takes as a method."""

TABLES_ONLY = tuple(name for name, method in BY_NAME.items() if method.share is None)
"""Methods without a share, for terms that have a table."""
