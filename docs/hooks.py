"""What the pages get at build time: pictures, lists of the package, the command line, formulas as MathML.

Everything is local: formulas are turned into MathML here, which browsers draw without a script.
"""

from __future__ import annotations

import ast
import html
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from typography import typeset

ROOT = Path(__file__).parents[1]
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
PICTURE = re.compile(r'(?<!">)(<img [^>]*src="([^"]+)"[^>]*>)(?!</a>)')
EXAMPLE = re.compile(
    r'(<div class="[^"]*highlight[^"]*")>(<pre><span></span><code><span class="gp">.*?</code>)',
    re.DOTALL,
)
LONG = 36
"""Signs of a formula within a line from which it scrolls by itself on a narrow screen."""
SPACES = dict.fromkeys(("KL", "TV", "rmse"), ("0.1em", "0"))
SPACES |= {
    "log": ("0.12em", "0.12em"),
    "/": ("0", "0"),
    "|": ("0", "0"),
    "\u2223": ("0.1em", "0.1em"),
}
MATHML = "http://www.w3.org/1998/Math/MathML"
MACROS = {
    r"\KL": r"\operatorname{KL}",
    r"\TV": r"\operatorname{TV}",
    r"\E": r"\mathbb{E}",
    r"\<": r"\left\langle ",
    r"\>": r"\right\rangle ",
}


# -- formulas -------------------------------------------------------------------------------------


def on_page_content(html_text: str, page: Page, **_: Any) -> str:
    """Every formula as MathML, every picture as a link to itself, prompts left out of what is copied."""
    html_text = FORMULA.sub(lambda found: mathml(found[2], found[1] == "div", page), html_text)
    html_text = PICTURE.sub(r'<a class="picture" href="\2">\1</a>', html_text)
    return EXAMPLE.sub(_copied, html_text)


def _copied(found: re.Match[str]) -> str:
    """An example whose copy button copies its code, without prompts and outputs."""
    lines = html.unescape(re.sub(r"<[^>]+>", "", found[2])).split("\n")
    code = "\n".join(line[4:] for line in lines if line.startswith((">>>", "...")))
    return f'{found[1]} data-copy="{html.escape(code)}">{found[2]}'


def mathml(text: str, block: bool, page: Page | None = None) -> str:
    """One formula; a build error where the converter does not know a command."""
    from latex2mathml.converter import convert

    source = html.unescape(text).strip()
    for name, meaning in MACROS.items():
        after = r"(?![A-Za-z])" if name[1:].isalpha() else ""
        source = re.sub(re.escape(name) + after, lambda _, m=meaning: m, source)
    made = convert(source, display="block" if block else "inline")
    if "\\" in made or "<mi>&</mi>" in made:
        where = page.file.src_uri if page else "formula"
        raise PluginError(f"{where}: the formula {source!r} holds a command that is not known.")
    made = _set(made, block)
    if block:
        return f'<div class="formula">{made}</div>'
    long = len(re.sub(r"<[^>]+>", "", made)) > LONG
    return f'<span class="formula">{made}</span>' if long else made


def _set(made: str, block: bool) -> str:
    """Limits under min and max in displays; the spaces of names and of slashes as in print."""
    ElementTree.register_namespace("", MATHML)
    tree = ElementTree.fromstring(made)
    for node in tree.iter():
        name = node[0].text if len(node) else None
        if block and node.tag.endswith("msub") and name in ("min", "max", "sup"):
            node.tag = node.tag.replace("msub", "munder")
        if node.tag.endswith("msup") and node[1].text == "\u2032":  # the sign is high already
            node.tag = f"{{{MATHML}}}mrow"
            node[1].attrib |= {"form": "postfix", "lspace": "0", "rspace": "0"}
        if node.text in SPACES:
            node.tag = f"{{{MATHML}}}mo"
            before, after = SPACES[node.text]
            node.attrib |= {"form": "infix", "lspace": before, "rspace": after}
    return ElementTree.tostring(tree, encoding="unicode")


# -- pictures -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawing:
    """A picture, the command that makes it, a title and what it shows."""

    path: Path
    command: str
    title: str
    text: str

    @property
    def address(self) -> str:
        """Where the site has it."""
        return f"pictures/{self.path.name}"


def drawings() -> list[Drawing]:
    """Every figure of paper_figs and every picture of the benchmarks, from its script's docstring."""
    return [*_figures(), *_benchmarks()]


def _figures() -> Iterator[Drawing]:
    for script in sorted(ROOT.glob("paper_figs/fig*/make.py")):
        path = script.with_name(f"{script.parent.name}.png")
        if path.exists():
            title, text = _told(script)
            yield Drawing(path, f"python {script.relative_to(ROOT)}", title, text)


def _benchmarks() -> Iterator[Drawing]:
    """Pictures in benchmarks/results that a script there, or a command of dagame-bench, writes."""
    scripts = {p: p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("benchmarks/*.py"))}
    for path in sorted(ROOT.glob("benchmarks/results/*.png")):
        name = path.stem.removeprefix("bench_")
        module = ROOT / "dagame" / "bench" / f"{name}.py"
        command = f"dagame-bench {name} --plot {path.relative_to(ROOT)}"
        for script, code in scripts.items():
            if f'"{path.name}"' in code:
                module, command = script, f"python {script.relative_to(ROOT)}"
        if module.exists():
            yield Drawing(path, command, *_told(module))


def _told(script: Path) -> tuple[str, str]:
    """The first line of a script's docstring, and its first paragraph beside the command."""
    told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.parent.name
    title, *rest = told.split("\n\n")
    kept = [" ".join(p.split()) for p in rest if not p.startswith(("    ", "python "))]
    return title.strip().removesuffix("."), escaped("".join(kept[:1]))


def escaped(text: str) -> str:
    """Plain text as Markdown."""
    return re.sub(r"([*_<>|\[\]])", r"\\\1", text)


def gallery() -> str:
    """The pictures in a column, each with its command."""
    return "\n\n".join(
        f"## {escaped(d.title)}\n\n![{escaped(d.title)}]({d.address}){{ loading=lazy }}\n\n"
        f"{d.text}\n\n```sh\n{d.command}\n```"
        for d in drawings()
    )


def refused_settings() -> str:
    """The trainer's settings that break the game, from the rules of the package."""
    from dagame.lm.trainers.trl.settings import RULES

    return "\n".join(f"* `{r.field}` must be `{r.fix}`: {escaped(r.why)}." for r in RULES)


# -- catalogue and registries ---------------------------------------------------------------------


def table_of(head: str, rows: Iterable[Iterable[str]]) -> str:
    """A pipe table; `head` has its columns, divided by bars."""
    columns = head.split(" | ")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def entries(names: Iterable[str]) -> str:
    """The reference of classes, without their members."""
    return "\n\n".join(f"::: {name}\n    options:\n      members: false" for name in names)


def kinds() -> str:
    """The table of the catalogue of objectives."""
    from dagame.objectives.catalogue import CATALOGUE

    rows = [
        (
            kind.name,
            f"[`{kind.public}`][dagame.{kind.public}]",
            f"`{kind.command}`" if kind.command else "",
            "yes" if kind.labels else "",
            "yes" if kind.concave else "no",
            "multipliers" if kind.multipliers else "a point",
            kind.support,
        )
        for kind in CATALOGUE.values()
    ]
    return table_of("kind | class | command | labels | concave | target | support", rows)


def objectives() -> str:
    """The reference of every objective of the catalogue, and of the sets."""
    from dagame.objectives import sets
    from dagame.objectives.catalogue import CATALOGUE

    public = dict.fromkeys(kind.public for kind in CATALOGUE.values())
    return entries(f"dagame.{name}" for name in (*public, *sets.__all__))


def solvers() -> str:
    """The table of the registry of solvers."""
    from dagame.solvers.registry import ROWS

    rows = [(f"`{row.name}`", row.needs, row.pace, row.fails) for row in ROWS]
    return table_of("solver | needs | pace | fails when", rows)


def dynamics() -> str:
    """The reference of every solver that plays rounds."""
    from dagame.solvers import DYNAMICS

    return entries(f"dagame.solvers.{type(solver).__name__}" for solver in DYNAMICS.values())


def language_models() -> str:
    """The reference of what `dagame.lm` loads when it is used."""
    from dagame.lm import _WHERE

    return "\n\n".join(f"::: dagame.lm.{name}" for name in _WHERE if name != "tiny")


# -- command line ---------------------------------------------------------------------------------


def command_lines() -> dict[str, click.Group]:
    """The programs and their commands."""
    from dagame.apps.cli import app
    from dagame.bench.cli import app as bench

    apps = {"dagame": app, "dagame-bench": bench}
    return {name: typer.main.get_command(a) for name, a in apps.items()}  # pyright: ignore


def command_line_page() -> str:
    """Every command with its options, from the programs themselves."""
    parts = [
        "# Command line\n\nWritten from the programs themselves. Exit codes: 0 done; 1 a check failed or "
        "a game was not solved; 2 bad input, explained in one sentence; 3 `solve --strict` has a warning."
    ]
    for name, group in command_lines().items():
        parts.append(f"## {name}\n\n{escaped(group.help or '')}")
        for command in group.commands.values():
            parts.append(_command(name, command))
    return "\n\n".join(parts) + "\n"


def _command(program: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"{program} {command.name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    usage = " ".join(usage.split())
    rows = ["| option | what | default |", "|---|---|---|", *map(_row, command.params)]
    help_text = re.sub(r"`([^`]*)`", lambda m: f"`{' '.join(m[1].split())}`", command.help or "")
    return f"### {program} {command.name}\n\n{help_text}\n\n```text\n{usage}\n```\n\n" + "\n".join(
        rows
    )


def _row(option: click.Parameter) -> str:
    names = " ".join(f"`{o}`" for o in [*option.opts, *option.secondary_opts])
    if option.param_type_name == "argument":
        names = f"`{(option.name or '').upper()}`"
    default = "required" if option.required else ""
    if option.default not in (None, False, ()) and not option.required:
        default = f"`{option.default}`"
    return f"| {names} | {escaped(getattr(option, 'help', '') or '')} | {default} |"


# -- hooks ----------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pictures and the page of the command line."""
    for drawing in drawings():
        made = File.generated(config, drawing.address, abs_src_path=str(drawing.path))
        files.append(made)
    files.append(File.generated(config, "reference/command-line.md", content=command_line_page()))
    return files


WIDE = ("methods.md", "gallery.md", "reference/paper-index.md")
PROMPTS = re.compile(r"^```python\n>>>", re.MULTILINE)
FILLED = {
    f"<!-- {name} -->": made
    for name, made in {
        "gallery": gallery,
        "refused settings": refused_settings,
        "table of objectives": kinds,
        "objectives": objectives,
        "table of solvers": solvers,
        "dynamics": dynamics,
        "names of dagame.lm": language_models,
    }.items()
}
"""What a comment of a page stands for."""


def filled(markdown: str) -> str:
    """The text of a page with what is generated."""
    for mark, content in FILLED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, content())
    return markdown


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in what is generated; wide pages get the whole width and come last in a search."""
    if page.file.src_uri in WIDE:
        page.meta |= {"hide": ["navigation", "toc"], "search": {"boost": 0.3}}
    markdown = filled(markdown)
    if page.file.src_uri == "methods.md":
        markdown = "\n".join(map(typeset, markdown.split("\n")))
    return PROMPTS.sub("```pycon\n>>>", markdown)
