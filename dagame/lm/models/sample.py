"""`generate`: completions of prompts, sampler and scorer checked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...show.progress import Progress
from .generation import Generations, check_numbers, check_room, complete, tokenise
from .selfcheck import require_self_check

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def generate(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    samples: int,
    *,
    max_new_tokens: int,
    seed: int,
    greedy: bool = False,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Generations:
    """Draw `samples` completions of each prompt from pi(. | prompt), or its greedy completion.

    Token t of row i is the inverse of the cumulative softmax at a uniform number that depends on
    the seed, i and t alone (for given K and T): neither the batch size nor the padding changes a
    sample beyond float error, and no global random state is read or written. A completion ends
    with the tokenizer's or the model's end-of-sequence token, whichever comes first.

    Args:
        model: any causal language model of transformers, also wrapped by peft, on any device.
        tokenizer: its tokenizer; padding is done here, so its padding side is neither used nor set.
        prompts: P texts, tokenised as they are.
        samples: K completions of each prompt; 1 if `greedy`.
        max_new_tokens: T, at which a completion is cut.
        seed: of the uniform numbers.
        greedy: take the likeliest token each time.
        batch_size: completions generated side by side; (batch_size, vocabulary) floats are held.
        progress: told how many completions are done.

    Raises:
        GenerationError: no prompts, a prompt without tokens, no end-of-sequence token, a context
            longer than the model's, or logits that are not finite.
        SelfCheckFailed: sampler, scorer and tokenizer disagree, see `dagame.lm.models.selfcheck`.
    """
    ids = tokenise(tokenizer, prompts)
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "seed": seed, "greedy": greedy}
    check_numbers(samples, max_new_tokens, batch_size, greedy)
    check_room(model, ids, [max_new_tokens] * len(ids))
    require_self_check(model, tokenizer, prompts, max_new_tokens=max_new_tokens)
    options |= {"batch_size": batch_size, "progress": progress}
    return complete(model, tokenizer, ids, samples, **options)
