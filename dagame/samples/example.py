"""The example that ships with the package: real answers of six models to questions about dates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .samples import Samples

CLASS, CONTEXT, ANSWER, COMPLETION, CORRECT = (
    "question",
    "format",
    "answer",
    "completion",
    "correct",
)
"""What its columns are; besides, `id`, `gold` (the right answer) and `model`."""

PATH = Path(__file__).parent / "data" / "dates.jsonl.gz"
"""The file, beside its licence (MIT, Qing Lyu): from veronica320/Faithful-COT, logs of Faithful
Chain-of-Thought Reasoning (Lyu et al., 2023, arXiv 2301.13379).

359 questions of BIG-bench's date understanding x 5 prompt formats x 6 models of OpenAI, one greedy
completion each. `answer` was read by the authors, from the completion or from what its program printed;
`correct` says whether it is `gold`.
"""


def read(no_answer: str = "keep") -> Samples:
    """`Samples.example`."""
    from .files.reading import read_frame
    from .samples import Samples

    frame, _ = read_frame(PATH, text=(COMPLETION,), labels={CLASS, CONTEXT})
    made = Samples.from_answers(
        frame, CLASS, CONTEXT, ANSWER, CORRECT, no_answer=no_answer, completion=COMPLETION
    )
    return replace(made, source=PATH.name)
