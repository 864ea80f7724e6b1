"""The pages of `dagame evaluate` and `dagame certify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..provenance import in_words
from ..show import plots
from .report import Picture, picture, render

_LISTED = 200


def evaluation_page(content: Mapping[str, Any]) -> str:
    """HTML from the numbers of `dagame evaluate`."""
    classes = content["classes"]
    return render(
        "evaluation.html.j2",
        title="Evaluation of a language model",
        settings=content["settings"],
        notes=content["notes"],
        measures=[row for row in content["measures"] if row["after"] is not None],
        pictures=_scatters(classes["before"], classes["after"]),
        classes=_beside(classes["before"], classes["after"])[:_LISTED],
        hidden=max(0, len(classes["after"]) - _LISTED),
        rests_on=in_words(content["settings"]["provenance"]),
    )


def certificate_page(content: Mapping[str, Any]) -> str:
    """HTML from the numbers of `dagame certify`."""
    found = content["certificate"]
    classes = sorted(found["classes"], key=lambda row: -row["gap"])
    gaps = np.array([row["gap"] for row in classes])
    pictures = []
    if np.isfinite(gaps).any() and len(gaps) > 1:
        caption = "How much any policy could still gain, estimated for each question (log scale)."
        pictures = [picture(plots.gaps(gaps[np.isfinite(gaps)]), caption)]
    return render(
        "certificate.html.j2",
        title="Certificate of a language model",
        settings=content["settings"],
        found={k: v for k, v in found.items() if k != "classes"},
        conditions=content["conditions"],
        pictures=pictures,
        classes=classes[:_LISTED],
        hidden=max(0, len(classes) - _LISTED),
        rests_on=in_words(content["settings"]["provenance"]),
    )


def _beside(before: list[dict[str, Any]] | None, after: list[dict[str, Any]]) -> list[dict]:
    """The classes with both models' numbers, in the order of the file."""
    theirs = before or [{} for _ in after]
    return [
        {"name": str(ours["class_id"]), "before": old, "after": ours}
        for old, ours in zip(theirs, after, strict=True)
    ]


def _scatters(before: list[dict[str, Any]] | None, after: list[dict[str, Any]]) -> list[Picture]:
    made = []
    for name, title in (("sampled_accuracy", "accuracy"), ("agreement", "agreement")):
        pairs = [
            (row["before"][name], row["after"][name])
            for row in _beside(before, after)
            if row["before"].get(name) is not None and row["after"][name] is not None
        ]
        if pairs:
            old, new = np.array(pairs, dtype=float).T
            caption = f"The {title} of every question, of the reference and of the model."
            made.append(picture(plots.class_scatter([(title, old, new)], "model"), caption))
    return made
