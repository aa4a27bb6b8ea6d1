"The checker of the craft finds each fault in a small notebook, and nothing in a good one."
import importlib.util, json
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("craft", ROOT/"tools"/"craft.py")
craft = importlib.util.module_from_spec(spec)
spec.loader.exec_module(craft)

def md(text, **kw): return dict(cell_type="markdown", metadata=kw, source=text)
def py(text, *outputs, tags=()): return dict(cell_type="code", metadata=dict(tags=list(tags)) if tags else {}, source=text, outputs=list(outputs), execution_count=None)
def printed(text): return dict(output_type="stream", name="stdout", text=[text])
def png(): return dict(output_type="display_data", data={"image/png": "abc", "text/plain": "<Figure>"}, metadata={})
def html(text): return dict(output_type="display_data", data={"text/html": text}, metadata={})

FIGURE = '#| label: fig-{}\n#| fig-cap: "A shelf."\n#| fig-alt: "Three boxes."\ndraw()'
LESSON = [md("# A lesson\n> One sentence.\n\n**Question:** how many? **Cost:** about 12 s."), py("#| default_exp data.shelf"), py("import math"), py('RUN = "smoke"\nSEED = 0', tags=["parameters"]), md("## By hand"),
          py("#| export\ndef count(x):\n    if x is None: raise ValueError('nothing to count')\n    return len(x)"), py("three = count('abc')\nprint(three)", printed("3\n")), py("assert three == 3"), md("A bad input:"), py("try: count(None)\nexcept ValueError as e: print(e)", printed("nothing to count\n")),
          py(FIGURE.format("a"), png()), py(FIGURE.format("b"), png()), md("## In three lines\nWe counted."), md("## Exercises\n**1 (compute).**"), py("your_answer = None\ncheck_equal(your_answer, 3, 'count')", printed("not answered yet\n")),
          py("check_equal(None, 3, 'again')", printed("not answered yet\n")), md("**Questionnaire.** Why?")]

def reviewed(tmp_path, cells, name="nbs/10_data/100_shelf.ipynb"):
    "What must change and what might, of a notebook made of these cells."
    (path := tmp_path/name).parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)), encoding="utf-8")
    (m, hard, soft, allowed), = craft.review([path], tmp_path)
    return m, hard, soft, allowed

def changed(i, cell): return [*LESSON[:i], *([cell] if cell else []), *LESSON[i + 1:]]

def test_a_good_lesson_has_no_findings(tmp_path):
    m, hard, soft, allowed = reviewed(tmp_path, LESSON)
    assert (hard, soft, allowed) == ([], [], [])
    assert (m["kind"], m["promise"], m["pictures"], m["exercises"], m["public"], m["value"], m["bad"], m["median"], m["longest"]) == ("lesson", 12, 2, 2, {"count"}, {"count"}, {"count"}, 1.5, 3)

@pytest.mark.parametrize("cells, said", [
    (changed(0, md("A lesson\n**Cost:** 3 s")), "title: "), (changed(0, md("# A\n> B.\n\n**Cost:** seconds.")), "cost: "), (changed(3, py('RUN, SEED = "smoke", 0')), "parameters: "), (changed(3, py("RUN = 1", tags=["parameters"])), "parameters: "),
    (changed(2, py("import math\nx = 1")), "imports: cell 2"), (changed(7, py("\n".join(["x = 1"]*41))), "longest: a cell of 41 lines"), (changed(10, py("draw()", png())), "figure: cell 10 lacks label, fig-cap, fig-alt"),
    (changed(10, py(FIGURE.format("a").replace("Three boxes.", ""), png())), "figure: cell 10 lacks fig-alt"), (changed(11, py(FIGURE.format("a"), png())), "label: fig-a stands twice"), (changed(10, py("f()", html('<img src="x">'))), "alt: an image in the output of cell 10"),
    (changed(8, md("![](shelf.png)")), "alt: a picture in cell 8"), (changed(6, py("three = count('abc')\nprint(three)")), "outputs: cell 6 prints"), (changed(6, py("for x in 'abc': print(x)")), "outputs: cell 6 prints"),
    (changed(7, py("1/0", dict(output_type="error", ename="E", evalue="", traceback=[]))), "error: cell 7"), (changed(8, md("Look into /home/ada/data.")), "path: cell 8"), (changed(6, py("f()", printed("at /Users/ada/x"))), "path: the output of cell 6"),
    (changed(6, py("f()", printed("x"*310_000))), "size: 31"), (LESSON[:13] + LESSON[16:], "exercises: none"), (LESSON[:16], "questionnaire: "), (changed(12, md("Done.")), "summary: ")])
def test_each_fault_is_found(tmp_path, cells, said):
    _, hard, _, _ = reviewed(tmp_path, cells)
    assert [f for f in hard if f.startswith(said)] and len(hard) == 1

@pytest.mark.parametrize("cells, said", [
    (changed(10, None), "pictures: 1, wanted 2"), (changed(15, None), "exercises: one"), (changed(7, py("3")), "untested: count"), (changed(9, py("3")), "bad input: "), (LESSON + [py("1")]*9, "prose: "), (LESSON + [py("\n".join("x"*16))]*4, "p90: one cell in ten has 16")])
def test_a_soft_fault_is_told_and_does_not_fail(tmp_path, cells, said):
    _, hard, soft, _ = reviewed(tmp_path, cells)
    assert not hard and soft[0].startswith(said)

@pytest.mark.parametrize("cell", [py("#| eval: false\nprint(1)"), py("if x: print(1)"), py("def f(): print(1)"), py("try:\n    import colab\nexcept ImportError: pass"), py("%matplotlib inline\nx = 1"), py("x = 'https://else.where/home/x'"), py("f()", html('<img alt="a shelf" src="x">'))])
def test_what_is_no_fault(tmp_path, cell): assert reviewed(tmp_path, LESSON + [cell])[1] == []

def test_a_test_file_that_imports_the_module_counts(tmp_path):
    (tmp_path/"tests").mkdir()
    (tmp_path/"tests"/"test_shelf.py").write_text("from p5_nb.data.shelf import count\nassert count('ab') == 2")
    assert reviewed(tmp_path, changed(7, py("3")))[2] == []

def test_a_rule_may_be_broken_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(craft.ALLOWED, ("100_shelf", "longest"), "it reads better whole")
    _, hard, _, allowed = reviewed(tmp_path, changed(7, py("\n".join(["x = 1"]*41))))
    assert not hard and allowed == ["longest: a cell of 41 lines; 40 are allowed (it reads better whole)"]

@pytest.mark.parametrize("words, seconds", [("**Cost:** about 12 s", 12), ("**Cost**: half a minute at `smoke`", 30), ("**Time** ten minutes; the page runs in about three seconds", 3), ("**Cost:** 1.5 minutes", 90), ("**Cost:** about a minute", 60), ("**Cost:** two hours", 7200),
    ("**Cost:** a few seconds", None), ("**Cost:** seconds", None), ("It takes 3 s.", None), ("At no costs: 3 s", None), ("## Later\n**Cost:** 3 s", None)])
def test_promise(words, seconds): assert craft.promise([md("# T\n> S\n\n" + words)]) == seconds

@pytest.mark.parametrize("name, head, kind", [("nbs/10_data/1.ipynb", "# A\n> B", "lesson"), ("nbs/index.ipynb", "# A\n> B", "page"), ("nbs/00_start/1.ipynb", "# A\n> B\n\nThis is a reference page.", "reference"), ("nbs/00_start/1.ipynb", "# shelf\n> B", "reference"),
    ("nbs/90_paper/1.ipynb", "# A\n> B\n\nThis is a *run* notebook.", "run"), ("nbs/90_paper/1.ipynb", "# All figures\n> B", "figures")])
def test_kind(name, head, kind): assert craft.kind(Path(name), [md(head), py("#| default_exp shelf")]) == kind

def test_table_has_a_line_a_notebook_and_names_the_findings(tmp_path, capsys):
    reviewed(tmp_path, LESSON), reviewed(tmp_path, changed(12, md("Done.")), "nbs/10_data/101_bad.ipynb")
    assert craft.main(craft.pages(tmp_path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["100_shelf", "lesson", "17", "2/2/3", "2"] and lines[2].endswith("✗") and lines[-1] == "✗ 101_bad: summary: none"
