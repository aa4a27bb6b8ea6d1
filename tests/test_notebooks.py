"Every lesson runs again, offline, at the smoke dial and with another seed than the stored one."
import re, time
from pathlib import Path
import nbformat, papermill, pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
LIMIT = 300                                   # seconds a cell may take before it counts as hanging

def parameters(path):
    "Names assigned in the cell tagged `parameters`; None where there is no such cell."
    cells = [c.source for c in nbformat.read(path, 4).cells if "parameters" in c.metadata.get("tags", [])]
    return None if not cells else set(re.findall(r"^(\w+) *=", cells[0], re.M))

def rerun(path, out, **given):
    "Execute with papermill; an unknown parameter is refused rather than ignored."
    unknown = set(given) - (parameters(path) or set())
    if unknown: raise ValueError(f"{path.name} has no parameter {', '.join(sorted(unknown))}")
    notebook = nbformat.read(path, 4)
    for c in notebook.cells:
        if c.cell_type == "code" and re.search(r"^#\| *eval: *false", c.source, re.M): c.metadata.setdefault("tags", []).append("skip-execution")
    source = out.with_name("source_" + path.name)
    nbformat.write(notebook, source)
    try: return papermill.execute_notebook(str(source), str(out), given, cwd=str(path.parent), progress_bar=False, execution_timeout=LIMIT, kernel_name="python3")
    except DeadKernelError: pytest.fail(f"{path.name}: its kernel died (memory?)")
    except CellTimeoutError: pytest.fail(f"{path.name}: a cell ran longer than {LIMIT} s")

@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if parameters(p) is not None], ids=lambda p: p.stem)
def test_rerun_with_another_seed(path, tmp_path, record_property):
    start = time.perf_counter()
    rerun(path, tmp_path/path.name, **{k: v for k, v in dict(RUN="smoke", SEED=1).items() if k in parameters(path)})
    record_property("seconds", round(time.perf_counter() - start, 1))

def test_every_lesson_has_its_dial():
    lessons = [p for p in NOTEBOOKS if p.parent.name != "nbs"]
    missing = [p.name for p in lessons if not {"RUN", "SEED"} <= (parameters(p) or set()) and p.parent.name != "00_start"]
    assert not missing, f"no tagged RUN and SEED in {missing}"

def made(tmp_path, *cells):
    "A small notebook for the tests below."
    n = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    n.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(n, tmp_path/"made.ipynb")
    return tmp_path/"made.ipynb"

def test_unknown_parameter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no parameter STEPZ"): rerun(made(tmp_path, "STEPS = 1"), tmp_path/"out.ipynb", STEPZ=2)

def test_failing_cell_is_reported(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="too few"): rerun(made(tmp_path, "SEED = 0", "assert SEED == 0, 'too few'"), tmp_path/"out.ipynb", SEED=1)

def test_dead_kernel_is_told_apart(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="kernel died"): rerun(made(tmp_path, "SEED = 0", "import os; os._exit(1)"), tmp_path/"out.ipynb", SEED=1)
