"Every lesson runs again, offline, at the smoke dial and with another seed than the stored one."
from pathlib import Path
import nbformat, papermill, pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from p5_nb.cli import execute, parameters

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if p.parent.name[:2].isdigit())
LIMIT = 300                                   # seconds a cell may take before it counts as hanging

def rerun(path, out, **given):
    "Execute, and say a dead kernel and a hanging cell in plain words."
    try: return execute(path, out, given, cwd=path.parent, limit=LIMIT)
    except DeadKernelError: pytest.fail(f"{path.name}: its kernel died (memory?)")
    except CellTimeoutError: pytest.fail(f"{path.name}: a cell ran longer than {LIMIT} s")

def test_there_are_lessons(): assert LESSONS

@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_rerun_with_another_seed(path, tmp_path): rerun(path, tmp_path/path.name, RUN="smoke", SEED=1)

def made(tmp_path, *cells):
    "A small notebook for the tests below; its first cell holds the parameters."
    n = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    n.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(n, tmp_path/"made.ipynb")
    return tmp_path/"made.ipynb"

def test_unknown_parameter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no parameter STEPZ"): rerun(made(tmp_path, "STEPS = 1"), tmp_path/"out.ipynb", STEPZ=2)

def test_given_value_arrives(tmp_path):
    out = rerun(made(tmp_path, "SEED = 0", "print(SEED + 1)"), tmp_path/"out.ipynb", SEED=41)
    assert out.cells[-1].outputs[0].text == "42\n"

def test_failing_cell_is_reported(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="too few"): rerun(made(tmp_path, "SEED = 0", "assert SEED == 0, 'too few'"), tmp_path/"out.ipynb", SEED=1)

def test_dead_kernel_is_told_apart(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="kernel died"): rerun(made(tmp_path, "SEED = 0", "import os; os._exit(1)"), tmp_path/"out.ipynb", SEED=1)

def test_hanging_cell_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("test_notebooks.LIMIT", 2)
    with pytest.raises(pytest.fail.Exception, match="longer than 2 s"): rerun(made(tmp_path, "SEED = 0", "import time; time.sleep(60)"), tmp_path/"out.ipynb", SEED=1)
