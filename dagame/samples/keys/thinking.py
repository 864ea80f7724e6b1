"""What a completion says after it has thought: reasoning between tags is a draft, not an answer."""

from __future__ import annotations

from ..cores import on_all_cores
from ..lazy import pl

_NAME = r"(?:[a-z]+:)?(?:think|thinking|thought|thoughts|reasoning|reason|analysis|scratchpad|reflection)"
_OPEN = (
    rf"(?i:<{_NAME}(?:\s[^<>]*)?>|\[think\]|\u25c1think\u25b7|<\|(?:begin_of_)?think(?:ing)?\|>)"
)
_CLOSE = rf"(?i:</{_NAME}\s*>|\[/think\]|\u25c1/think\u25b7|<\|end_of_think(?:ing)?\|>)"
_CHANNEL = r"<\|channel\|>"
_FINAL = r"<\|channel\|>final(?:<\|[a-z_]+\|>)?"


def without_thinking(texts: pl.Series) -> pl.Series:
    """The texts without their reasoning parts; null where one is not closed, for it was cut off.

    Tags <think>, <thinking>, <thought>, <reasoning>, <analysis>, <scratchpad>, <reflection> (also
    with a prefix such as seed:think), [THINK], and the channels of <|channel|>analysis ...
    <|channel|>final. A closing tag without an opening one ends a thought that the prompt opened.
    """
    signs = f"{_OPEN}|{_CLOSE}|{_CHANNEL}"
    marked = on_all_cores(texts, lambda each: each.str.contains(signs).fill_null(False))
    if not marked.any():
        return texts
    text = pl.col("text")
    rest = text.str.replace_all(f"(?s){_OPEN}.*?{_CLOSE}", "\n")
    rest = rest.str.replace(f"(?s)^.*(?:{_CLOSE})", "")
    final = rest.str.replace(f"(?s)^.*(?:{_FINAL})", "")
    rest = pl.when(rest.str.contains(_FINAL)).then(final).otherwise(rest)
    whole = pl.when(~rest.str.contains(f"{_OPEN}|{_CHANNEL}")).then(rest)
    frame = pl.DataFrame({"text": texts, "marked": marked})
    return frame.select(pl.when(pl.col("marked")).then(whole).otherwise(text).alias("text"))["text"]
