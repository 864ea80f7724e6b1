"""Whether prompts and completions are the same as texts and as tokens: parts of the self-check."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .generation import tokenise


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


def prompts_are_read_whole(tokenizer: Any, prompts: Sequence[str]) -> Check:
    """Each prompt's ids are the same alone and in the batch, and no character of it is lost."""
    name, few = "prompts", list(prompts[:32])
    ids = tokenise(tokenizer, few)
    for text, row in zip(few, ids, strict=True):
        if list(tokenizer(text)["input_ids"]) != list(row):
            return Check(name, False, f"{text[:60]!r} has other tokens alone than in a batch")
        lost = _lost(tokenizer, text, row)
        if lost:
            return Check(name, False, f"the tokenizer loses {lost} of the prompt {text[:60]!r}")
    return Check(name, True, f"{len(few)} prompts are read whole")


def _lost(tokenizer: Any, text: str, row: Sequence[int]) -> str:
    """What the tokens of a text lack, as words; blanks only where the vocabulary has tokens for them."""
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in row:
        return ""  # what is no word of the model stays one token
    seen = tokenizer.decode(row, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if _same(text) not in _same(seen):
        return "characters"
    ends = (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :])
    for end in ends:
        blanks = [c for c in end if _has_token(tokenizer, c)]
        if blanks and list(tokenizer(text.strip())["input_ids"]) == list(row):
            return f"the blanks at the ends ({end!r})"
    return ""


def _same(text: str) -> str:
    """The text without blanks, in one case and one form of its characters."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _has_token(tokenizer: Any, blank: str) -> bool:
    """Whether the vocabulary has a token of this blank, as itself or in the spelling of a byte."""
    spellings = {blank, f"<0x{ord(blank):02X}>", {" ": "\u0120", "\n": "\u010a"}.get(blank, blank)}
    spellings |= {"\u2581"} if blank == " " else set()
    return any(spelling in tokenizer.get_vocab() for spelling in spellings)


def begins_once(tokenizer: Any, ids: Sequence[Sequence[int]]) -> Check:
    """No prompt begins with two beginning-of-sequence tokens."""
    first = tokenizer.bos_token_id
    twice = [k for k, row in enumerate(ids) if first is not None and list(row[:2]) == [first] * 2]
    if twice:
        found = f"prompt {twice[0]} begins with two tokens {tokenizer.bos_token!r}; give it without"
        return Check("begin", False, f"{found} its own, or the tokenizer with add_bos_token=False")
    return Check("begin", True, "no prompt begins twice")


def end_fault(tokens: Sequence[int], eos: Sequence[int], limit: int) -> str | None:
    """What is wrong with the end of a completion's tokens, as words."""
    if not tokens:
        return "a completion has no tokens, not even an end token"
    if set(tokens[:-1]) & set(eos):
        return "tokens behind an end token count as part of a completion"
    if tokens[-1] not in eos and len(tokens) < limit:
        return f"a completion of {len(tokens)} tokens ends without an end token before the limit {limit}"
    if len(tokens) > limit:
        return f"a completion has {len(tokens)} tokens, more than the limit {limit}"
    return None


def text_fault(tokenizer: Any, tokens: Sequence[int], text: str) -> str | None:
    """How a completion's text differs from its tokens', as words."""
    if text != tokenizer.decode(list(tokens), skip_special_tokens=True):
        return f"the text {text[-60:]!r} is not that of its tokens"
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(t for t, token in added.items() if token.special)}
    pieces = [tokenizer.decode([t]) for t in tokens if t not in special]
    if "\ufffd" in text or any("\ufffd" in piece for piece in pieces):
        return None  # tokens that are parts of a character
    if _has_word_pieces(tokenizer):
        pieces = [piece.removeprefix("##") for piece in pieces]
    if "".join("".join(pieces).split()) != "".join(text.split()):
        return f"the text {text[-60:]!r} lacks characters of its tokens"
    lost = "".join(pieces)
    tail = lost[len(lost.rstrip()) :]
    if tail and not text.endswith(tail):
        return f"decoding loses the blanks {tail!r} at the end of a completion"
    return None


def _has_word_pieces(tokenizer: Any) -> bool:
    """Whether "##" at the beginning of a token joins it to the one before; elsewhere it is text."""
    core = getattr(tokenizer, "backend_tokenizer", None)
    return type(getattr(core, "model", None)).__name__ == "WordPiece"
