"""The pages of `dagame evaluate` and `dagame certify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..provenance import in_words
from ..show import plots
from .report import Picture, picture, render

_LISTED = 200
_CARDS = ("sampled_accuracy", "greedy_accuracy", "majority_accuracy")
_CARDS += ("agreement", "no_answer", "kl")


def evaluation_page(content: Mapping[str, Any]) -> str:
    """HTML from the numbers of `dagame evaluate`."""
    classes = content["classes"]
    return render(
        "evaluation.html.j2",
        title="Evaluation of a language model",
        verdict=content["verdict"],
        settings=content["settings"],
        notes=content["notes"],
        measures=[row for row in content["measures"] if row["after"] is not None],
        cards=[
            row for row in content["measures"] if row["name"] in _CARDS and row["after"] is not None
        ],
        pictures=_scatters(classes["before"], classes["after"]),
        classes=_beside(classes["before"], classes["after"])[:_LISTED],
        hidden=max(0, len(classes["after"]) - _LISTED),
        rests_on=in_words(content["settings"]["provenance"]),
    )


def certificate_page(content: Mapping[str, Any]) -> str:
    """HTML from the numbers of `dagame certify`."""
    found = content["certificate"]
    classes = sorted(found["classes"], key=lambda row: -row["gap"])
    return render(
        "certificate.html.j2",
        title="Certificate of a language model",
        settings=content["settings"],
        found={k: v for k, v in found.items() if k != "classes"},
        conditions=content["conditions"],
        pictures=_gaps(classes),
        classes=classes[:_LISTED],
        hidden=max(0, len(classes) - _LISTED),
        rests_on=in_words(content["settings"]["provenance"]),
    )


def _gaps(classes: list[dict[str, Any]]) -> list[Picture]:
    """The estimate of every question with its interval; no whisker upwards where it has no upper end."""
    table = np.array([[row["gap"], row["lower"], row["upper"]] for row in classes], dtype=float)
    table = table[np.isfinite(table[:, 0])]
    if len(table) < 2:
        return []
    gap, lower, upper = table.T
    figure = plots.figure(6.4, 3.0)
    axes = figure.subplots()
    places = np.arange(1, len(gap) + 1)
    low, high = np.minimum(gap, lower), np.where(np.isfinite(upper), np.maximum(gap, upper), gap)
    axes.vlines(places, low, high, color="#cbd5e1", lw=2)
    axes.scatter(places, gap, s=14, color=plots.AFTER, zorder=2)
    axes.axhline(0, color="#94a3b8", lw=0.8)
    axes.set(xlabel="questions, by gap", ylabel="estimated gap")
    told = "How much any policy could still gain in each question"
    ends = "" if np.isfinite(upper).all() else " (without an upper end where none is drawn)"
    return [picture(figure, f"{told}: estimates, each with its interval{ends}.")]


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
