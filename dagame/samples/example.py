"""The example that ships with the package: real answers of six models to questions about dates."""

from __future__ import annotations

from pathlib import Path

CLASS, CONTEXT, ANSWER, CORRECT = "question", "format", "answer", "correct"
"""What its columns are; besides, `id`, `model`, `completion` and `gold` (the right answer)."""

PATH = Path(__file__).parent / "data" / "dates.jsonl.gz"
"""The file, beside its licence (MIT, Qing Lyu): from veronica320/Faithful-COT, logs of Faithful
Chain-of-Thought Reasoning (Lyu et al., 2023, arXiv 2301.13379).

359 questions of BIG-bench's date understanding x 5 prompt formats x 6 models of OpenAI, one greedy
completion each. `answer` was read by the authors, from the completion or from what its program printed;
`correct` says whether it is `gold`.
"""
