"The driver of `make test` can fail: a small project with faults, and what each part says of it."
import importlib.util, shutil, subprocess, sys
from pathlib import Path
import nbformat, pytest

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture
def check(tmp_path, monkeypatch):
    "tools/check.py, working on an empty project."
    monkeypatch.syspath_prepend(ROOT/"tools")
    spec = importlib.util.spec_from_file_location("check", ROOT/"tools"/"check.py")
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    for folder in ("p5_nb", "nbs/00_start", "tests", "tools"): (tmp_path/folder).mkdir(parents=True)
    for name in ("settings.ini", "tools/readme.py"): shutil.copy(ROOT/name, tmp_path/name)
    (tmp_path/"p5_nb"/"__init__.py").write_text('__version__ = "0.1.0"\n')
    real, check.ROOT, check.WORKERS = check.run, tmp_path, 1
    monkeypatch.setattr(check, "run", lambda *command, cwd=tmp_path: real(*command, cwd=cwd))
    page(tmp_path/"nbs"/"index.ipynb", "1")
    return check

def page(path, *cells):
    "A notebook as nbdev keeps it."
    n = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c, id=f"a{i}") for i, c in enumerate(cells)], metadata={"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}})
    nbformat.write(n, path)

def test_drift_is_found(check):
    page(check.ROOT/"nbs"/"00_start"/"001_a.ipynb", "#| default_exp a", "#| export\nx = 1")
    done = check.drift()
    assert done[1] and "p5_nb/a.py" in done[3] and "README.md" in done[3]
    for command in ([check.BIN/"nbdev_export"], [check.BIN/"nbdev_clean"], [sys.executable, "tools/readme.py"]): subprocess.run(command, cwd=check.ROOT, check=True)
    assert check.drift()[1] == 0
    (check.ROOT/"p5_nb"/"a.py").write_text((check.ROOT/"p5_nb"/"a.py").read_text() + "y = 2\n")
    (check.ROOT/"p5_nb"/"left_over.py").write_text("z = 3\n")
    passed, failed, _, said = check.drift()
    assert failed == 2 and "p5_nb/a.py" in said and "p5_nb/left_over.py" in said

def test_failing_notebooks_are_counted_and_timed(check, capsys):
    shutil.rmtree(check.ROOT/"p5_nb")
    for name in ("tests/test_notebooks.py", "tools/craft.py", "tools/rerun.py", "tools/nursery.py"): shutil.copy(ROOT/name, check.ROOT/name)
    page(check.ROOT/"nbs"/"index.ipynb", "x = 1")
    page(check.ROOT/"nbs"/"00_start"/"page.ipynb", "SEED, RUN = 0, 'smoke'", "assert SEED == 0, 'too few'", "print(6*7)")
    n = nbformat.read(check.ROOT/"nbs"/"00_start"/"page.ipynb", 4)
    n.cells[0].metadata["tags"] = ["parameters"]
    n.cells.insert(0, nbformat.v4.new_markdown_cell("# A page\n> of three cells\n\n**Cost:** about two seconds.", id="top"))
    nbformat.write(n, check.ROOT/"nbs"/"00_start"/"page.ipynb")
    passed, failed, skipped, said = check.pytest("tests/test_notebooks.py", "-k", "as_stored or another_seed")
    assert (passed, failed, skipped) == (1, 2, 0)                       # index is as stored; the page is not, and fails with another seed
    assert "page.ipynb: 1 cell(s) show" in said and "failing cell: page.ipynb, cell 3" in said and "too few" in said
    lines = list(check.clock())
    assert set(check.CLOCK) == {"index", "page"} and lines[1].split()[1] == "–" and lines[2].split()[1] == "2" and "of 2 took more than half" in lines[-1]

def test_clock_tells_what_is_over(check):
    check.CLOCK = {"short": dict(promised="10", stored="14", seed="12"), "long": dict(promised="10", stored="9", seed="21"), "mute": dict(stored="3")}
    short, mute = (next(l for l in check.clock() if l.startswith(name)) for name in ("short", "mute"))
    assert short.split() == ["short", "10", "14", "12", "1.4"] and mute.split() == ["mute", "–", "3", "–", "–"]
    assert [l for l in check.clock() if l.endswith("over")] == [next(l for l in check.clock() if l.startswith("long"))] and list(check.clock())[-1].startswith("1 of 3")

def test_craft_is_a_part(check, capsys):
    assert check.craft()[:3] == (0, 1, 0) and "✗ index: title" in capsys.readouterr().out

def test_skipped_real_data_fails_where_required(check, monkeypatch, capsys):
    (check.ROOT/"tests"/"test_a.py").write_text("import pytest\ndef test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pytest.skip('real data file x is not on this machine')\n")
    monkeypatch.delenv("P5NB_REQUIRE_REAL", raising=False)
    assert check.pytest("tests")[:3] == (1, 1, 1) and "real data file x" in capsys.readouterr().out
    monkeypatch.setenv("P5NB_REQUIRE_REAL", "1")
    passed, failed, skipped, said = check.pytest("tests")
    assert (passed, failed, skipped) == (1, 2, 0) and "skipped although real data are required" in said

@pytest.mark.parametrize("counts, code", [((3, 0, 1), 0), ((3, 1, 0), 1), ((0, 0, 0), 1)])
def test_last_line_and_exit_code(check, monkeypatch, capsys, counts, code):
    monkeypatch.setattr(check, "PARTS", {"one part": lambda: (*counts, "")})
    assert check.main() == code
    assert capsys.readouterr().out.splitlines()[-1] == f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped"

def test_parts_can_be_chosen(check, monkeypatch, capsys):
    monkeypatch.setattr(check, "PARTS", {"drift": lambda: (0, 1, 0, ""), "craft of the notebooks": lambda: (1, 0, 0, "")})
    assert check.main("craft") == 0 and capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"
