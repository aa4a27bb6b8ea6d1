"""The craft of the notebooks, measured: python tools/craft.py [NOTEBOOK …] prints a line each, then what must change (✗) and what might (~)."""
import ast, json, re, statistics, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Rules broken because a reader is better served: (notebook, the words before the colon of a finding) → why.
ALLOWED = {}
HOUSE = "lesson", "reference", "run"          # kinds of notebooks that take parameters and state their cost
WORDS = dict(zip("one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty".split(), [*range(1, 13), 15, 20, 30, 40, 50])) | {"a": 1, "an": 1, "half a": .5, "half an": .5}
UNITS = dict(s=1, sec=1, min=60, h=3600)
QUANTITY = re.compile(rf"\b({'|'.join(sorted(WORDS, key=len, reverse=True))}|\d+(?:\.\d+)?) ?(s|sec|min|h)(?:ond|ute|our)?s?\b", re.I)
MACHINE = re.compile(r"(?<![\w.:/])(?:/(?:home|Users)/\w|/(?:root|work)\b)|\b[A-Z]:\\+Users\b")

def pages(root=ROOT): return sorted(p for p in (root/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)

# Cells
def source(cell): return "".join(cell["source"])
def code(cells): return [c for c in cells if c["cell_type"] == "code"]
def prose(cells): return [source(c) for c in cells if c["cell_type"] == "markdown"]
def exported(cell): return bool(re.search(r"^#\| *exports?\b", source(cell), re.M))
def directives(cell): return dict(re.findall(r"^#\| *([\w-]+):? *(.*)", source(cell), re.M))
def length(cell): return sum(bool(l.strip()) and not l.startswith("#|") for l in source(cell).splitlines())
def markup(cell): return "".join("".join(o.get("data", {}).get("text/html", "")) for o in cell["outputs"])
def picture(cell): return any(kind.startswith("image/") for o in cell["outputs"] for kind in o.get("data", {}))
def said(cell): return "".join("".join(o.get("text", o.get("data", {}).get("text/plain", ""))) for o in cell["outputs"]) + markup(cell)

# Syntax
def parse(cell):
    "The statements of a code cell; lines meant for IPython are left out."
    try: return ast.parse("\n".join("" if re.match(r"\s*[%!]", l) else l for l in source(cell).splitlines())).body
    except SyntaxError: return []

def every(tree, *kinds): return [n for statement in tree for n in ast.walk(statement) if isinstance(n, kinds)]
def names(tree): return {n.id for n in every(tree, ast.Name)} | {n.attr for n in every(tree, ast.Attribute)}
def calls(tree): return [getattr(c.func, "id", getattr(c.func, "attr", "")) for c in every(tree, ast.Call)]

def prints(tree):
    "Does a cell print whatever happens?"
    return any(prints(n.body) if isinstance(n, (ast.For, ast.With)) else isinstance(n, ast.Expr) and calls([n])[:1] == ["print"] for n in tree)

# What a notebook is
def header(cells):
    "All text before the first section."
    return re.split(r"^## ", "\n\n".join(prose(cells)), maxsplit=1, flags=re.M)[0]

def module(cells): return next((directives(c)["default_exp"] for c in code(cells) if "default_exp" in directives(c)), None)

def promise(cells):
    "Seconds the header promises: the first quantity after the word Cost, or after \"runs in\"; None where there is none."
    found = re.search(r"(?:\bCost\b|\bruns in\b)(.*)", header(cells))
    quantity = QUANTITY.search(found[1]) if found else None
    return quantity and (WORDS.get(quantity[1].lower()) or float(quantity[1]))*UNITS[quantity[2].lower()]

def kind(path, cells):
    "What a page says of itself, or a title that is its module's name; where it says nothing, a numbered folder holds lessons."
    head = header(cells)
    if "reference page" in head or head.startswith(f"# {module(cells)}\n"): return "reference"
    if re.search(r"\brun\*? notebook", head): return "run"
    if re.match(r"# .*\bfigures\b", head, re.I): return "figures"
    return "lesson" if path.parent.name[:2].isdigit() else "page"

def tried(cells, public):
    "Of the exported names, those with a check of a value and those with a bad input, beside the code: by name, or by something made from it."
    made, value, bad = {}, set(), set()
    met = lambda tree: set().union(*({n} | made.get(n, set()) for n in names(tree)))
    for tree in (parse(c) for c in code(cells) if not exported(c)):
        for n in every(tree, ast.Assign, ast.For, ast.withitem, ast.FunctionDef):
            target = getattr(n, "targets", None) or [getattr(n, "target", None) or getattr(n, "optional_vars", None)]
            for t in {n.name} if isinstance(n, ast.FunctionDef) else names(filter(None, target)): made[t] = made.get(t, set()) | met([n])
        if every(tree, ast.Assert) or any(re.match("test_|check_|assert_", c) for c in calls(tree)): value |= met(tree) & public
        if every(tree, ast.Try) or {"test_fail", "raises", "ExceptionExpected"} & set(calls(tree)): bad |= met(tree) & public
    return value, bad

def elsewhere(cells, public, root):
    "Exported names that a file of tests/ speaks of, among those files that import the module."
    texts = [p.read_text(encoding="utf-8") for p in (root/"tests").glob("test_*.py")]
    return public & set().union(*(set(re.findall(r"\w+", t)) for t in texts if module(cells) and f"p5_nb.{module(cells)} " in t))

def measure(path, root=ROOT):
    "What there is to know of a notebook."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sizes = sorted(filter(None, map(length, code(cells)))) or [0]
    public = {n.name for c in code(cells) if exported(c) for n in parse(c) if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"}
    last = next((i for i, c in enumerate(cells) if c["cell_type"] == "markdown" and re.search(r"^## (\d+ · )?Exercises", source(c), re.M)), len(cells))
    value, bad = tried(cells, public)
    return dict(name=f"solutions/{path.stem[:3]}" if path.parent.name == "solutions" else path.stem, kind=kind(path, cells), cells=cells, median=statistics.median(sizes), p90=sizes[int(.9*(len(sizes) - 1))], longest=sizes[-1],
                pictures=sum(picture(c) or "<svg" in markup(c) for c in code(cells)) + len(re.findall(r"!\[", "".join(prose(cells)))), prose=len(prose(cells))/max(1, len(code(cells))),
                public=public, value=value | elsewhere(cells, public, root), bad=bad, exercises=sum(c.startswith("check_") for cell in code(cells[last:]) for c in calls(parse(cell))),
                promise=promise(cells), kb=path.stat().st_size/1000)

# The rules
def must(m):
    "Findings that fail."
    text = "\n\n".join(prose(m["cells"]))
    if not re.match(r"# .+\n+> .+", source(m["cells"][0])): yield "title: the first cell is not a title with a one-sentence subtitle"
    if m["longest"] > 40: yield f"longest: a cell of {m['longest']} lines; 40 are allowed"
    if m["kb"] > 300: yield f"size: {m['kb']:.0f} KB; 300 are allowed"
    if m["kind"] in HOUSE:
        given = [parse(c) for c in code(m["cells"]) if "parameters" in c["metadata"].get("tags", [])]
        if len(given) != 1 or not {"RUN", "SEED"} <= names(given[0]): yield "parameters: not one tagged cell with RUN and SEED"
        if m["promise"] is None: yield "cost: the header promises no seconds (**Cost:** about 12 s)"
    if m["kind"] == "lesson":
        if not m["exercises"]: yield "exercises: none has a check"
        if not re.search(r"\*\*Question(s|naire)|^## Question", text, re.M): yield "questionnaire: none"
        if not re.search(r"\*\*Summary|^## (Summary|In three lines)", text, re.M): yield "summary: none"
    labels = [directives(c)["label"] for c in code(m["cells"]) if "label" in directives(c)]
    for doubled in sorted({l for l in labels if labels.count(l) > 1}): yield f"label: {doubled} stands twice"
    for i, c in enumerate(m["cells"]): yield from must_text(i, c) if c["cell_type"] != "code" else must_code(i, c)

def must_text(i, cell):
    "Findings in a cell of text."
    if re.search(r"!\[\s*\]\(", source(cell)): yield f"alt: a picture in cell {i} has none"
    if hit := MACHINE.search(source(cell)): yield f"path: cell {i} names a folder of a machine, {source(cell)[hit.start():][:20]!r}"

def must_code(i, cell):
    "Findings in a cell of code and its stored outputs."
    tree, given = parse(cell), directives(cell)
    imports = [isinstance(n, (ast.Import, ast.ImportFrom)) for n in tree]
    if any(imports) and not all(imports): yield f"imports: cell {i} mixes them with other code"
    for place, text in (("", source(cell)), ("the output of ", said(cell))):
        if hit := MACHINE.search(text): yield f"path: {place}cell {i} names a folder of a machine, {text[hit.start():][:20]!r}"
    if picture(cell) and (lack := [k for k in ("label", "fig-cap", "fig-alt") if not given.get(k, "").strip("\"' ")]): yield f"figure: cell {i} lacks {', '.join(lack)}"
    if re.search(r"<img\b(?![^>]*\balt=.\w)", markup(cell)): yield f"alt: an image in the output of cell {i} has none"
    if any(o["output_type"] == "error" for o in cell["outputs"]): yield f"error: cell {i} shows one"
    if prints(tree) and not cell["outputs"] and not exported(cell) and given.get("eval") != "false": yield f"outputs: cell {i} prints, and nothing is stored"

def might(m):
    "Findings that are only told."
    if m["median"] > 5: yield f"median: {m['median']:.0f} lines a cell, wanted 5"
    if m["p90"] > 15: yield f"p90: one cell in ten has {m['p90']} lines, wanted 15"
    if m["pictures"] < (want := dict(lesson=2, reference=1).get(m["kind"], 0)): yield f"pictures: {m['pictures']}, wanted {want}"
    if m["prose"] < 1/3: yield f"prose: {m['prose']:.2f} cells of text to one of code, wanted 1/3"
    if m["kind"] == "lesson" and m["exercises"] == 1: yield "exercises: one has a check, wanted 2"
    if lack := sorted(m["public"] - m["value"]): yield f"untested: {', '.join(lack[:6])}{f' and {len(lack) - 6} more' if len(lack) > 6 else ''}"
    if m["public"] and not m["bad"]: yield "bad input: none is tried"

def review(paths, root=ROOT):
    "Measures of each notebook, with what must change, what might, and what is allowed."
    for path in paths:
        m = measure(path, root)
        reason = lambda finding: ALLOWED.get((m["name"], finding.partition(":")[0]))
        hard, soft = list(must(m)), list(might(m))
        yield m, [f for f in hard if not reason(f)], [f for f in soft if not reason(f)], [f"{f} ({reason(f)})" for f in hard + soft if reason(f)]

def table(rows):
    "One line a notebook, then the findings."
    yield f"{'notebook':22}{'kind':10}{'cells':>5}{'lines':>9}{'pictures':>10}{'prose':>7}{'tested':>8}{'bad':>5}{'exercises':>11}{'promise':>9}{'KB':>5}"
    for m, hard, soft, _ in rows:
        shape, some = f"{m['median']:.0f}/{m['p90']}/{m['longest']}", bool(m["public"])
        yield (f"{m['name'][:21]:22}{m['kind']:10}{len(m['cells']):5}{shape:>9}{m['pictures']:10}{m['prose']:7.2f}{f'''{len(m['value'])}/{len(m['public'])}''' if some else '–':>8}{len(m['bad']) if some else '–':>5}"
               f"{m['exercises'] or '–':>11}{'–' if m['promise'] is None else f'''{m['promise']:.0f} s''':>9}{m['kb']:5.0f} {'✗'*len(hard)}{'~'*len(soft)}")
    yield "lines of a code cell: median/nine in ten/longest · prose: cells of text to one of code · tested, bad: exported names with a check of a value, with a bad input · exercises with a check"
    for which, mark in enumerate(("✗", "~", "allowed:"), 1): yield from (f"{mark} {row[0]['name']}: {'; '.join(row[which])}" for row in rows if row[which])

def main(paths):
    rows = list(review(paths))
    print("\n".join(table(rows)))
    return sum(bool(hard) for _, hard, _, _ in rows)

if __name__ == "__main__": sys.exit(bool(main([Path(p).resolve() for p in sys.argv[1:]] or pages())))
