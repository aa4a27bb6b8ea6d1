"Every page shows what its code does today, and every lesson runs again, offline, at the smoke dial, with another seed than the stored one."
import json, sys
from pathlib import Path
import nbformat, pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/"tools"))
import craft, rerun

PAGES = {p.stem: p for p in craft.pages(ROOT) if p.parent.name != "solutions"}          # those are run by tests/test_course.py
CELLS = {name: json.loads(p.read_text(encoding="utf-8"))["cells"] for name, p in PAGES.items()}
PROMISE = {name: craft.promise(cells) for name, cells in CELLS.items()}
LONGEST_FIRST = sorted(PAGES, key=lambda n: -(PROMISE[n] or 0))          # so that no worker is left alone with a long one at the end
HOUSE = [n for n in LONGEST_FIRST if craft.kind(PAGES[n], CELLS[n]) in craft.HOUSE]

def limit(name):
    "Seconds after which a notebook counts as hanging: generous, for slow machines; how long it takes is told and never asserted."
    return 300 + 10*round(PROMISE[name] or 30)

def note(record_property, name, **seconds):
    "For the table of promised and measured seconds at the end of `make test`."
    for key, value in dict(notebook=name, **seconds, **({"promised": PROMISE[name]} if PROMISE[name] else {})).items(): record_property(key, value)

def test_there_are_pages(): assert PAGES

@pytest.mark.parametrize("name", LONGEST_FIRST)
def test_page_is_as_stored(name, record_property):
    try: seconds, said = rerun.stored_again(PAGES[name], limit(name))
    except rerun.Trouble as e: pytest.fail(str(e), pytrace=False)
    note(record_property, name, stored=seconds)
    if said: pytest.fail(said, pytrace=False)

@pytest.mark.parametrize("name", HOUSE)
def test_rerun_with_another_seed(name, record_property):
    try: _, seconds = rerun.play(PAGES[name], limit(name), RUN="smoke", SEED=1)
    except rerun.Trouble as e: pytest.fail(str(e), pytrace=False)
    note(record_property, name, seed=seconds)

def made(tmp_path, *cells, tags=("parameters",)):
    "A small notebook for the tests below; its first cell holds the parameters."
    n = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    n.cells[0].metadata["tags"] = list(tags)
    nbformat.write(n, tmp_path/"made.ipynb")
    return tmp_path/"made.ipynb"

def trouble(path, limit=60, **given):
    "What is said of a notebook that does not run to its end."
    with pytest.raises(rerun.Trouble) as told: rerun.play(path, limit, **given)
    return str(told.value)

def test_unknown_parameter_is_told_apart(tmp_path): assert trouble(made(tmp_path, "STEPS = 1"), STEPZ=2) == "unknown parameter: made.ipynb has no parameter STEPZ; it takes STEPS"

def test_missing_tag_is_told_apart(tmp_path): assert trouble(made(tmp_path, "SEED = 0", tags=()), SEED=1).startswith("missing tag: made.ipynb has no cell tagged `parameters`, so SEED")

def test_dead_kernel_is_told_apart(tmp_path): assert trouble(made(tmp_path, "SEED = 0", "import os; os._exit(1)"), SEED=1).startswith("dead kernel: the process of made.ipynb ended by itself")

def test_timeout_is_told_apart(tmp_path):
    said = trouble(made(tmp_path, "SEED = 0", "import time; time.sleep(2)", "time.sleep(60)"), 6, SEED=1)
    assert said.startswith("timeout: made.ipynb was stopped after 6 s") and said.endswith("time.sleep(60)")

def test_failing_cell_is_told_apart(tmp_path): assert trouble(made(tmp_path, "SEED = 0", "assert SEED == 0, 'too few'"), SEED=1) == "failing cell: made.ipynb, cell 2\nassert SEED == 0, 'too few'\nAssertionError: too few"

def test_given_value_arrives_in_the_folder_of_the_notebook(tmp_path):
    done, seconds = rerun.play(made(tmp_path, "SEED = 0", "import os; print(SEED + 1, os.getcwd())"), SEED=41)
    assert done.cells[-1].outputs[0].text == f"42 {tmp_path}\n" and seconds > 0

def test_what_nbdev_test_leaves_out_is_left_out(tmp_path):
    done, _ = rerun.play(made(tmp_path, "SEED = 0", "#| slow\n1/0", "#| eval: false\n1/0", "nbdev.nbdev_export()", "import os; os.environ['IN_TEST']"))
    assert done.cells[-1].outputs[0].data["text/plain"] == "'1'"

@pytest.mark.parametrize("stored, now", [("hit@5 0.412", "hit@5 0.409"), ("0.0123", "0.0124"), ("loss 1.2e-08", "loss 3.1e-09"), ("took 3.2 s", "took 41 s"), ("12 MB", "1,234.5 MB"), ("{'seconds': 0.2}", "{'seconds': 11.75}"),
    ("<A object at 0x7feab6735420>", "<A object>"), ("in /tmp/tmpab12/x.json", "in /tmp/tmpzz/x.json"), ("2026-11-20 10:00:00", "2027-01-03"), ("a   1\n b 2", "a 1\nb   2"), ("hit 0.5", "training: 840 steps, about 42 seconds on 1 thread(s)\nhit 0.5"), ("http://127.0.0.1:4012/x", "http://127.0.0.1:999/x")])
def test_within_tolerance(stored, now): assert rerun.same(stored, now)

@pytest.mark.parametrize("stored, now", [("22,363 users", "22,364 users"), ("hit@5 0.412", "hit@5 0.437"), ("user_23", "user_24"), ("yes", "no"), ("1 2", "1 2 3"), ("2014-07-23", "2014-07-22"), ("-0.5", "0.5"), ("[1, 2]", "[2, 1]"), ("loss 1.2e-08", "loss 0.3")])
def test_beyond_tolerance(stored, now): assert not rerun.same(stored, now)

def shows(*outputs, source="f()", **metadata):
    "A notebook of one cell with stored outputs."
    of = dict(text=lambda t: nbformat.v4.new_output("stream", name="stdout", text=t), noise=lambda t: nbformat.v4.new_output("stream", name="stderr", text=t),
              html=lambda t: nbformat.v4.new_output("execute_result", {"text/html": t, "text/plain": "plain"}), png=lambda t: nbformat.v4.new_output("display_data", {"image/png": t, "text/plain": "<Figure>"}))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, metadata=metadata, outputs=[of[kind](t) for kind, t in outputs])])

@pytest.mark.parametrize("stored, now, found", [
    ([("text", "a")], [("text", "a")], 0), ([("text", "a")], [("text", "b")], 1), ([], [("text", "b")], 1), ([("text", "a")], [], 1), ([("png", "abc")], [("png", "xyz")], 0), ([("png", "abc")], [], 1),
    ([("noise", "warning")], [], 0), ([("text", "a"), ("text", "b")], [("text", "a\nb")], 0),
    ([("html", "<table><td>0.412</td><td>x</td></table>")], [("html", "<table><td>0.409</td>\n<td>x</td></table>")], 0), ([("html", "<b>x</b>")], [("html", "<b>y</b>")], 1), ([("html", '<img src="a">')], [("html", '<img src="b">')], 0)])
def test_differences(stored, now, found): assert len(rerun.differences(shows(*stored), shows(*now))) == found

@pytest.mark.parametrize("stored, now, tags", [("3 real users", "not run: no real data here", []), ("not run: no real data here", "3 real users", []), ("Beauty 1, made 2", "made 2", ["real"])])
def test_real_data_are_compared_where_they_lie(stored, now, tags):
    stored, now = shows(("text", stored), tags=tags), shows(("text", now))
    assert len(rerun.differences(stored, now, real=True)) == 1 and not rerun.differences(stored, now, real=False)

@pytest.mark.parametrize("now, found", [([("text", "other"), ("png", "b")], 0), ([("text", "other")], 1), ([("png", "b")], 1), ([("png", "b"), ("text", "training: 9 steps, about 40 seconds on 1 thread(s)")], 1)])
def test_a_cell_that_varies_keeps_its_shape(now, found): assert len(rerun.differences(shows(("text", "a"), ("png", "a"), tags=["varies"]), shows(*now))) == found

def test_message_names_notebook_cell_both_texts_and_the_remedy(tmp_path):
    path = made(tmp_path, "SEED = 0", "print('same')\nprint(6*7)")
    n = nbformat.read(path, 4)
    n.cells[1].outputs = shows(("text", "same\n41\n")).cells[0].outputs
    nbformat.write(n, path)
    lines = rerun.stored_again(path)[1].splitlines()
    assert lines[:4] == ["made.ipynb: 1 cell(s) show what the code no longer does", "- cell 1: print('same') ⏎ print(6*7)", "    stored 41", "    now    42"] and "tag the cell `varies`" in lines[-1]
