"The driver of `make test` can fail: a small project with faults, and what each part says of it."
import importlib.util, shutil, subprocess, sys
from pathlib import Path
import nbformat, pytest

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture
def check(tmp_path, monkeypatch):
    "tools/check.py, working on an empty project."
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

def test_failing_notebooks_are_counted(check):
    for name, cell in dict(good="assert 1", bad="assert 0, 'too few'", worse="1/0").items(): page(check.ROOT/"nbs"/"00_start"/f"{name}.ipynb", cell)
    passed, failed, skipped, said = check.notebooks()
    assert (passed, failed, skipped) == (2, 2, 0) and "too few" in said

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
