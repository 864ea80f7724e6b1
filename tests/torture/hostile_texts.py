"""Texts that try to be more than text: mark-up, scripts, controls, mathematics, terminal commands."""

from __future__ import annotations

from hypothesis import strategies as st

MARKER = "data-ran"
_RUN = f"document.documentElement.setAttribute('{MARKER}','yes')"

SCRIPTS = (
    f"<script>{_RUN}</script>",
    f"</title><script>{_RUN}</script>",
    f"</style><script>{_RUN}</script>",
    f"</td></table><script>{_RUN}</script>",
    f"--><script>{_RUN}</script>",
    f"]]><script>{_RUN}</script>",
    f'"><img src=x onerror="{_RUN}">',
    f'\'><img src=x onerror="{_RUN}">',
    f'<svg onload="{_RUN}"></svg>',
    f"<svg><script>{_RUN}</script></svg>",
    f'<style onload="{_RUN}"></style>',
    f'" autofocus tabindex=1 onfocus="{_RUN}" x="',
    f'<iframe srcdoc="<script>parent.{_RUN}</script>"></iframe>',
    f'<object data="data:text/html,<script>parent.{_RUN}</script>"></object>',
    f'<a href="javascript:{_RUN}" id=x>x</a>',
    "<meta http-equiv=refresh content='0;url=javascript:1'>",
    f"<math><mtext></mtext><mglyph><style><img src=x onerror={_RUN}>",
    f"{{{{ ''.__class__ }}}}{{% raw %}}<script>{_RUN}</script>",
)
"""Each is run by a browser, or would load or leave, where it is not escaped."""

STYLES = (
    "<style>body{display:none}</style>",
    "</style><style>*{color:red}</style>",
    '" style="position:fixed;inset:0;background:red" x="',
    "<link rel=stylesheet href=//e.org/x.css>",
    "<base href=//e.org/>",
    "<form action=//e.org><input name=x autofocus>",
)
UNSEEN = (
    "\u202egnp.exe",
    "a\u2066b\u2069\u2067c",
    "x\u200by",
    "\ufeffx",
    "\u2028line\u2029end",
    "a\x00b",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b31m",
    "\ud800",
    "\udcff half",
    "tag\U000e0041\U000e007f",
    "\uffff\ufdd0",
    "back\x08\x08\x08\x7f",
    "one\r\ntwo\rthree\x85four\x0cfive",
)
MATHS = (
    "$x^$",
    "$\\frac{",
    "$$",
    "$\\notacommand$",
    "cost $5 and $7",
    "\\$",
    "$\\",
    "_x",
    "\\$$\\$",
)
MARKUP = ("[red]x[/red]", "[/]", "[link=http://e.org]x[/link]", "[", "\\[/]", "[@click=x]y[/]")
MARKDOWN = (
    "a | b",
    "[x](javascript:alert(1))",
    "![x](http://e.org/x.png)",
    "`code` **bold** _it_ ~~s~~",
    "line\n---\nowner: evil\n---\n# heading",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt; &#60;",
    "1. one\n* two",
    "http://e.org www.e.org",
    "\\",
)
LONG = ("x" * 1_000_000, "<" * 5_000, "long word " * 5_000)
WORLD = ("שלום עולם", "你好", "😀 👩\u200d👩\u200d👧", "नमस्ते", "e\u0301", "")
ALL = (*SCRIPTS, *STYLES, *UNSEEN, *MATHS, *MARKUP, *MARKDOWN, *LONG, *WORLD)
SHORT = tuple(text for text in ALL if len(text) < 1000)

_PIECES = (
    "<",
    ">",
    '"',
    "'",
    "&",
    "--",
    "]]>",
    "</",
    "<!--",
    "=",
    "/",
    "\\",
    "$",
    "{",
    "}",
    "[",
    "]",
)
texts = st.lists(
    st.one_of(st.sampled_from(SHORT), st.sampled_from(_PIECES), st.text(max_size=8)), max_size=6
).map("".join)
"""Hostile texts strung together with pieces of syntax and any characters, halves of pairs too."""
