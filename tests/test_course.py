"The course: blank copies, marks that a hand-in cannot change, and solutions that pass the checks."
import os, re, time
from pathlib import Path
import nbformat, pytest
from p5_nb.core import repo_folder
from p5_nb.course import blank_copy, clean, exercise_cells, exercises, grade, lessons, work

LESSONS = lessons()
SOLUTIONS = {p.stem: p for p in sorted((repo_folder()/"nbs"/"solutions").glob("*.ipynb"))}
CELLS = ["from p5_nb.exercises import check_close, check_equal", "price = 2", "## Exercises\n\n**1 (compute).** Twice the price?", 'your_answer = None\ncheck_close(your_answer, 2*price, "two times two")',
         "**2 (compute).** Which word?", 'your_answer = None\ncheck_equal(your_answer, "comb", "it has teeth")']
FAST = dict(seconds=6, memory_gb=2)

def made(*sources):
    "A notebook; what starts with # or ** is text."
    make = lambda s: (nbformat.v4.new_markdown_cell if s.startswith(("## ", "**")) else nbformat.v4.new_code_cell)
    return nbformat.v4.new_notebook(cells=[make(s)(s, id=f"c{i}") for i, s in enumerate(sources)])

@pytest.fixture
def lesson(tmp_path):
    (tmp_path/"lessons").mkdir()
    nbformat.write(made(*CELLS), tmp_path/"lessons"/"010_toy.ipynb")
    return {"010_toy": tmp_path/"lessons"/"010_toy.ipynb"}

def filled(one="4", two="'comb'", first="price = 2"): return made(CELLS[0], first, CELLS[2], CELLS[3].replace("None", one), CELLS[4], CELLS[5].replace("None", two))

def marked(lesson, tmp_path, *notebooks, **limits):
    "State and message of each exercise of each hand-in."
    for i, n in enumerate(notebooks):
        (path := tmp_path/"in"/f"{i}"/"010_toy.ipynb").parent.mkdir(parents=True)
        nbformat.write(n, path) if isinstance(n, dict) else path.write_bytes(n)
    marks = grade(tmp_path/"in", tmp_path/"marks.csv", paths=lesson, **{**FAST, **limits})
    return [[(r.state, r.message) for r in rows.itertuples()] for _, rows in marks.groupby("file")]

# Copies
def test_a_copy_is_blank_and_otherwise_the_lesson():
    for name, path in LESSONS.items():
        stored = nbformat.read(path, 4)
        copied = blank_copy(stored, name)
        assert [c.source for c in copied.cells] == [c.source for c in stored.cells], name          # lessons are stored blank
        assert not any(c.outputs or c.execution_count for c in copied.cells if c.cell_type == "code") and copied.metadata.p5nb == {"lesson": name}
        assert len({e.number for e in exercises(stored)}) == len(exercises(stored)), name

def test_filled_blanks_are_blank_again():
    n = filled("4", "[1,\n 2]")
    assert [without for _, c in exercise_cells(blank_copy(n, "x").cells) for without in c.source.splitlines()[:1]] == ["your_answer = ..."]*2

def test_handed_in_work_is_not_overwritten(lesson, tmp_path, capsys):
    path, = clean(lesson.values(), tmp_path/"class")
    assert capsys.readouterr().out == f"{path}: 2 exercises\n"
    assert clean(lesson.values(), tmp_path/"class") == [path]                                      # a blank copy may be written again
    nbformat.write(filled(), path)
    before = path.read_bytes()
    nbformat.write(made(*CELLS), tmp_path/"lessons"/"005_new.ipynb")
    with pytest.raises(FileExistsError, match="nothing was written"): clean([tmp_path/"lessons"/"005_new.ipynb", *lesson.values()], tmp_path/"class")
    assert path.read_bytes() == before and not (tmp_path/"class"/"005_new.ipynb").exists()

# Marks
def test_right_wrong_and_blank(lesson, tmp_path):
    assert marked(lesson, tmp_path, filled("price + price"), filled("5", "None"), filled("'x'", "3")) == [
        [("right", "")]*2, [("wrong", "off by 1. Hint: two times two"), ("not answered", "")], [("wrong", "a number is wanted, not 'x'. Hint: two times two"), ("wrong", "3 is not it. Hint: it has teeth")]]
    assert (tmp_path/"marks.csv").read_text().splitlines()[:2] == ["file,lesson,exercise,state,message", "0/010_toy.ipynb,010_toy,1,right,"]

CHEATS = {"own checks": "check_close = check_equal = lambda *a: print('✓')",
          "patched module": "import p5_nb.exercises as e, p5_nb.course as c\ne.check_close = e.check_equal = print\nc.verdict = lambda *a: ('right', '')\nc.judge = print",
          "patched numpy": "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True",
          "other lesson": "price = 50", "false report": "import os, json\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\n' + json.dumps(dict(exercise=1, who=0, state='right', message='', answer=[['list', []]])).encode() + b'\\n')\n    except OSError: pass",
          "broken report": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[[[\\n{\"exercise\": 1, \"answer\": [[\"odd\", 3]]}\\n' + b'['*100000 + b'\\n')\n    except OSError: pass",
          "equals all": "class Yes(float):\n    __eq__ = __ne__ = lambda *a: True"}

def test_no_trick_is_marked_right(lesson, tmp_path):
    notebooks = [filled("Yes(100)" if name == "equals all" else "100", "'soap'", first) for name, first in CHEATS.items()]
    got = marked(lesson, tmp_path, *notebooks)
    assert len(got) == len(CHEATS) and all(state == "wrong" for rows in got for state, _ in rows), got

def test_what_does_not_end_does_not_stop_the_others(lesson, tmp_path):
    begin = time.time()
    loops, late, right = marked(lesson, tmp_path, filled(first="while True: pass"), filled(two="exec('while 1: pass')"), filled(), seconds=4)
    assert loops == [("did not run", "stopped after 4 s in cell 1")]*2 and late == [("right", ""), ("did not run", "stopped after 4 s in cell 5")] and right == [("right", "")]*2
    assert time.time() - begin < 60

def test_exits_and_errors(lesson, tmp_path):
    leaves, dies, fails, names = marked(lesson, tmp_path, filled(first="import sys; sys.exit(0)"), filled(two="__import__('os')._exit(7)"), filled("1/0"), filled("comb"))
    assert leaves == [("right", "")]*2 and dies == [("right", ""), ("did not run", "its process ended (code 7) in cell 5")]
    assert fails == [("did not run", "cell 3: ZeroDivisionError: division by zero"), ("right", "")] and names[0] == ("did not run", "cell 3: NameError: name 'comb' is not defined")

@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="memory is limited reliably on Linux only")
def test_memory_is_limited(lesson, tmp_path):
    (rows,) = marked(lesson, tmp_path, filled("len(bytearray(3*2**30))"))
    assert rows[0][1].startswith("cell 3: MemoryError") and rows[1] == ("right", "")

def test_what_is_no_notebook(lesson, tmp_path):
    odd = [b"", b"\xff\xfe", b"{}", b"[]", b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}', b"[" * 100_000]
    got = marked(lesson, tmp_path, *odd)
    assert all(rows == [("did not run", rows[0][1])]*2 and rows[0][1].startswith("not a notebook") for rows in got) and len(got) == len(odd)
    (tmp_path/"in"/"more").mkdir()
    nbformat.write(made("x = 1"), tmp_path/"in"/"more"/"mine.ipynb")
    (tmp_path/"in"/"more"/"a folder.ipynb").mkdir()
    n = filled()
    n.metadata["p5nb"] = {"lesson": ["010_toy"]}
    nbformat.write(n, tmp_path/"in"/"more"/"renamed.ipynb")
    marks = grade(tmp_path/"in", paths=lesson, **FAST).set_index("file")
    assert marks.message["more/mine.ipynb"].startswith("which lesson is this?") and marks.message["more/a folder.ipynb"] == "not a file" and marks.state["more/renamed.ipynb"].tolist() == ["right"]*2

def test_an_exercise_that_was_deleted_or_renumbered(lesson, tmp_path):
    gone, renumbered = filled(), filled()
    del gone.cells[3]
    for i, c in enumerate(renumbered.cells): c["id"] = f"other{i}"
    got = marked(lesson, tmp_path, gone, renumbered)
    assert got == [[("did not run", "the cell of this exercise is missing"), ("right", "")], [("right", "")]*2]

def test_secrets_and_home_stay_out(lesson, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "4")
    (rows,) = marked(lesson, tmp_path, filled("__import__('os').environ.get('SECRET_TOKEN', 5)", "'comb' if __import__('pathlib').Path.home() != __import__('pathlib').Path(%r) else 0" % str(Path.home())))
    assert rows == [("wrong", "off by 1. Hint: two times two"), ("right", "")]

def test_children_go_with_their_process(lesson, tmp_path):
    mark = tmp_path/"alive"
    child = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).write_text(str(1))'])"
    (rows,) = marked(lesson, tmp_path, filled(first=child))
    time.sleep(5)
    assert rows == [("right", "")]*2 and not mark.exists()

def test_the_lesson_itself_may_fail(lesson, tmp_path):
    nbformat.write(made(CELLS[0], "1/0", *CELLS[2:]), lesson["010_toy"])
    assert marked(lesson, tmp_path, filled()) == [[("did not run", "the lesson itself stops in its cell 1")]*2]

def test_formulas_are_texts(lesson, tmp_path):
    (tmp_path/"in").mkdir()
    (tmp_path/"in"/"=1+1 010_toy.ipynb").write_text("no")
    grade(tmp_path/"in", tmp_path/"marks.csv", paths=lesson, **FAST)
    assert (tmp_path/"marks.csv").read_text().splitlines()[1].startswith("'=1+1")

def test_a_learner_from_clean_copy_to_green(tmp_path, capsys):
    "A real lesson: a blank copy, one wrong answer and its message, then all right."
    path, = clean([LESSONS["200_rating"]], tmp_path/"class")
    n = nbformat.read(path, 4)
    cells = [c for _, c in exercise_cells(n.cells)]
    for answer, want in [("3", [("wrong", "off by 0.764. Hint: square the two errors first, then the mean, then the root"), ("not answered", "")]), ("5**.5", [("right", ""), ("right", "")])]:
        cells[0].source = re.sub(r"^answer = .*", f"answer = {answer}", cells[0].source)
        if answer == "5**.5": cells[1].source = cells[1].source.replace("answer = ...", "answer = [3, 1]", 1)
        nbformat.write(n, path)
        marks = grade(tmp_path/"class", seconds=120)
        assert [(r.state, r.message) for r in marks.itertuples()] == want

# Solutions
WRONG = -123456, "no such answer", ["list", [-1, "none", -100]]
INSTEAD = {("120_loaders", 2): ["1 1\n2 1 2\n"], ("200_rating", 2): [["list", [2, 4]]], ("210_ranking", 2): [["list", [5, 4, 3, 2, 1]]]}          # where only a file, two ratings, five scores can be wrong

def test_every_lesson_has_a_solution(): assert set(SOLUTIONS) == set(LESSONS)

@pytest.mark.parametrize("name", sorted(set(SOLUTIONS) & set(LESSONS)))
def test_solution(name):
    "The solution passes each check of the lesson; wrong answers, given in its place, meet the check's hint."
    asks, solved = exercises(nbformat.read(LESSONS[name], 4)), nbformat.read(SOLUTIONS[name], 4)
    answered = exercises(solved)
    assert [e.number for e in answered] == [e.number for e in asks] and all(a.check.endswith(e.check) for a, e in zip(answered, asks)), "the solution repeats each exercise with the lesson's own check"
    assert not [c.source for _, c in exercise_cells(solved.cells) if re.search(r"^\w+ = (None|\.\.\.)$", c.source, re.M)], "a blank is left"
    place, checks = {a.cell: (e.number, e.names) for a, e in zip(answered, asks)}, {e.number: e.check for e in asks}
    cells = [(i, c.source, [(*place[c.id], checks[place[c.id][0]])] if c.id in place else []) for i, c in enumerate(solved.cells) if c.cell_type == "code"]
    wrong = {e.number: [(who, [answer]*len(e.names)) for who, answer in enumerate(INSTEAD.get((name, e.number), WRONG))] for e in asks}
    told, ended = work(dict(cells=cells, answers=wrong), 300, 8)
    assert told[-1] == {"end": True} and not any("trouble" in t for t in told), (ended, told[-3:])
    said = {(t["exercise"], t["who"]): t for t in told if "who" in t}
    for e in asks:
        hint = re.findall(r'"([^"]{8,})"', e.check)[-1]
        for who, _ in wrong[e.number]: assert said[e.number, who]["state"] == "wrong" and hint in said[e.number, who]["message"], (e, said[e.number, who])
    shown = "".join(o.get("text", "") for c in solved.cells if c.cell_type == "code" for o in c.outputs)
    assert shown.count("✓") >= len(asks) and "not answered yet" not in shown

def test_solutions_are_short_and_speak_of_every_exercise():
    for name, path in SOLUTIONS.items():
        n, lesson = nbformat.read(path, 4), nbformat.read(LESSONS[name], 4)
        text = lambda n: "\n".join(c.source for c in n.cells if c.cell_type == "markdown")
        asked = set(re.findall(r"\*\*(\d)\b", text(lesson).rpartition("Exercises")[2]))
        assert asked <= set(re.findall(r"\*\*(\d)\b", text(n))), name
        assert len(n.cells) <= 24 and path.stat().st_size < 100_000, name
