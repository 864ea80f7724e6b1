"""The pages: blocks run, commands and names exist, the site builds without a warning."""

from __future__ import annotations

import ast
import doctest
import html
import inspect
import json
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import dagame
from dagame._moved import new_path
from dagame.numerics.fast import on_arrays

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SHELL = ("sh", "bash")
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def blocks(page: Path, *languages: str) -> list[tuple[int, str]]:
    """(line, code) of a page's fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: m.start()].count("\n") + 2, m[3]) for m in FENCE.finditer(text) if m[2] in languages
    ]


def run_block(code: str, names: dict, where: str, line: int) -> list[str]:
    """Failures of one block: doctest where it has prompts, else plain execution."""
    if ">>>" not in code:
        exec(compile("\n" * (line - 1) + code, where, "exec"), names)
        return []
    told: list[str] = []
    test = doctest.DocTestParser().get_doctest(code, names, where, where, line - 1)
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    runner.run(test, out=told.append, clear_globs=False)
    names.update(test.globs)
    return told if runner.failures else []


WITH_CODE = [p for p in PAGES if blocks(p, "python")]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_python_block_runs_and_shows_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for line, code in blocks(page, "python"):
        with (
            on_arrays()
        ):  # as in a process of its own: rounding differs in one that has solved much
            told = run_block(code, names, str(page), line)
        assert not told, "\n".join(told)


def test_a_wrong_output_is_noticed():
    assert run_block(">>> 1 + 1\n3\n", {}, "page", 1)
    assert not run_block(">>> 1 + 1\n2\n", {}, "page", 1)


# -- the site -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def pages_of(site: Path) -> dict[str, str]:
    return {str(p.relative_to(site)): p.read_text(encoding="utf-8") for p in site.rglob("*.html")}


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(site):
    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]* src="?(?:https?:)?//|<link[^>]*//[^>]*css'
    )
    for name, text in pages_of(site).items():
        assert not loads.search(text), name
    styles = "".join(p.read_text(encoding="utf-8") for p in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?https?:", styles)


def test_every_formula_became_mathml(site):
    pages = pages_of(site)
    assert pages["theory/game.html"].count("<math") > 50
    for name, text in pages.items():
        assert "arithmatex" not in text, name
        assert "<mi>&amp;</mi>" not in text, name


def test_the_search_finds_pages_and_public_names(site):
    docs = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    places = {d["location"] for d in docs}
    assert "theory/game.html#t4-the-certificate" in places
    assert any("dagame.lm.certificate" in place for place in places)


def test_every_picture_is_in_the_gallery_with_its_command(site):
    text = pages_of(site)["gallery.html"]
    for path in ROOT.glob("paper_figs/fig*/fig*.png"):
        assert f"pictures/{path.name}" in text
        assert f"paper_figs/{path.parent.name}/make.py" in text
        assert (site / "pictures" / path.name).read_bytes() == path.read_bytes()


def test_the_pictures_of_the_readme_exist():
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    for path in shown:
        assert (ROOT / path).exists(), path


# -- names ----------------------------------------------------------------------------------------


@cache
def resolve(name: str) -> object:
    """The object of a dotted name; AttributeError where there is none."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        path = ".".join(parts[:k])
        if new_path(path):  # an old path, which warns
            continue
        try:
            found = import_module(path)
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise AttributeError(name)


@cache
def hooks() -> dict:
    """What the pages get at build time."""
    return runpy.run_path(str(DOCS / "hooks.py"))


def built(page: Path) -> str:
    """The text of a page with what is generated."""
    return hooks()["filled"](page.read_text(encoding="utf-8"))


def documented() -> set[str]:
    text = "\n".join(built(p) for p in (DOCS / "reference").glob("*.md"))
    return set(re.findall(r"^::: (\S+)", text, re.MULTILINE))


def public() -> list[str]:
    names = [f"dagame.{n}" for n in dagame.__all__]
    modules = ("lm", "estimators", "conformal", "domains", "domains.asp", "solvers", "scale")
    for module in (*modules, "games.library"):
        names += [f"dagame.{module}.{n}" for n in import_module(f"dagame.{module}").__all__]
    return names


def test_the_reference_has_every_public_name():
    told = {id(resolve(n)) for n in documented()}
    pages = [p for p in (DOCS / "reference").glob("*.md") if p.stem != "paper-index"]
    words = "\n".join(built(p) for p in pages)
    for name in public():
        found = resolve(name)
        if callable(found):
            assert id(found) in told, name
        elif not inspect.ismodule(found):
            assert f"{name.rsplit('.', 1)[-1]}`" in words, name


def test_every_name_of_the_paper_index_exists():
    text = (DOCS / "reference/paper-index.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(dagame\.[\w.]+)`", text))
    assert len(names) > 40
    for name in names:
        resolve(name)
    with pytest.raises(AttributeError):
        resolve("dagame.AlignmentGame.no_such_thing")


def test_every_page_and_heading_that_code_cites_exists():
    """Citations in docstrings and comments name a page and the slug of one of its headings."""
    from markdown.extensions.toc import slugify

    cited = re.compile(r"\bdocs/[\w/-]+\.md(?:#[\w-]+)?")
    places = [
        p for d in ("dagame", "tests", "benchmarks") for p in sorted((ROOT / d).rglob("*.py"))
    ]
    found = {(c, p.name) for p in places for c in cited.findall(p.read_text(encoding="utf-8"))}
    assert len({c for c, _ in found}) > 15
    for citation, where in sorted(found):
        page, _, anchor = citation.partition("#")
        assert (ROOT / page).is_file(), f"{where}: {citation}"
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in {slugify(h, "-") for h in headings}, f"{where}: {citation}"


def test_the_checks_of_the_paper_index_are_those_of_verify():
    from dagame.theory.checks import CHECKS

    text = (DOCS / "reference/paper-index.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    named = {c.strip() for row in rows[2:] for c in row[3].split(",") if c.strip()}
    assert named == {theorem for theorem, *_ in CHECKS} - {"symmetry"}


def test_documented_parameters_are_those_of_the_signature():
    found = 0
    for name in sorted(documented()):
        target = resolve(name)
        if not callable(target) or (isinstance(target, type) and issubclass(target, Exception)):
            continue
        known = set(inspect.signature(target).parameters)
        for told in arguments(inspect.getdoc(target) or ""):
            found += 1
            assert told in known, f"{name}: {told}"
    assert found > 150


def arguments(doc: str) -> list[str]:
    """Names in a docstring's Args section; one line may tell several."""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)*)", doc, re.MULTILINE)
    lines = re.findall(r"^ {4}(\w[\w, ]*):", section[1], re.MULTILINE) if section else []
    return [name for line in lines for name in line.split(", ")]


# -- commands -------------------------------------------------------------------------------------


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for _, code in blocks(page, *SHELL):
            lines = code.replace("\\\n", " ").splitlines()
            found += [(page.name, line.split("  #")[0].strip()) for line in lines]
    return found


def test_the_commands_of_the_pages_have_these_options():
    programs = hooks()["command_lines"]()
    seen = set()
    for page, line in commands():
        words = shlex.split(line, comments=True)
        name = Path(words[0]).name if words else ""
        if name not in programs or len(words) < 2 or words[1].startswith("-"):
            continue
        command = programs[name].commands[words[1]]
        known = {o for p in command.params for o in [*p.opts, *p.secondary_opts]} | {"--help"}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{page}: {line}"
        seen.add(words[1])
    assert {"solve", "verify", "demo", "finetune", "scaling"} <= seen


def test_the_scripts_that_pages_name_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for script in re.findall(r"python ((?:benchmarks|paper_figs|docs)/[\w/]+\.py)", text):
            assert (ROOT / script).exists(), f"{page.name}: {script}"
            ast.parse((ROOT / script).read_text(encoding="utf-8"))


# -- pages that are made --------------------------------------------------------------------------


def test_every_notebook_is_a_page_with_its_outputs_and_its_question(site):
    pages = pages_of(site)
    index = pages["notebooks/index.html"]
    search = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    places = {d["location"] for d in search}
    stored = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(stored) >= 9
    for path in stored:
        text, name = pages[f"notebooks/{path.stem}.html"], f"notebooks/{path.stem}.html"
        assert f'href="{path.stem}.html"' in index
        assert name in places
        assert ".ipynb)" not in text
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        pictures = [
            o for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})
        ]
        drawn = re.findall(rf'src="({path.stem}_\d+_\d+\.png)"', text)
        assert len(drawn) == len(pictures) > 0
        assert all((site / "notebooks" / p).read_bytes().startswith(b"\x89PNG") for p in drawn)
        assert text.count('<div class="highlight">') == sum(c["cell_type"] == "code" for c in cells)
    assert index.count("?</td>") == len(stored)


def test_examples_are_copied_without_prompts_and_outputs(site):
    text = pages_of(site)["index.html"]
    (copied,) = re.findall(r'data-copy="([^"]*)"', text)
    code = html.unescape(copied)
    assert code.startswith("import numpy as np\nimport dagame as dg")
    assert ">>>" not in code
    assert "array(" not in code.replace("np.array(", "")
    names: dict = {}
    exec(compile(code, "index", "exec"), names)
    assert names["solution"].gap < 1e-10


def test_reference_pages_say_no_word_that_is_for_the_source_only(site):
    for name, text in pages_of(site).items():
        assert "<p>See the class" not in text, name
        first = re.search(r"<article.*?<p>(.*?)</p>", text, re.DOTALL)
        assert first is None or not first[1].startswith("Written by <code>python"), name


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (
            "Phi(nu) = sum_x w_x nu_x(z)^k",
            "Φ(ν) = Σ<sub>x</sub> w<sub>x</sub> ν<sub>x</sub>(z)<sup>k</sup>",
        ),
        ("nu0 <= e^{u/beta}", "ν<sup>0</sup> ≤ e<sup>u/β</sup>"),
        ("    nu: marginals nu_x", "    nu: marginals ν<sub>x</sub>"),
        ("`nu_x` and beta=1, f_name, x_hat", "`nu_x` and beta=1, f_name, x_hat"),
        ("sum of pi-like things", "sum of pi-like things"),
    ],
)
def test_formulas_of_docstrings_are_printed(text, printed):
    hooks()
    from typography import typeset

    assert typeset(text) == printed


def test_code_in_docstrings_stays():
    hooks()
    from typography import typeset_lines

    lines = ["nu_x", "", "    nu_x = 1", "", ">>> nu_x", "nu_x", "", "Args:", "    nu: of nu_x"]
    assert typeset_lines(lines) == ["ν<sub>x</sub>", *lines[1:8], "    nu: of ν<sub>x</sub>"]
