"Set-up on machines that lack something: each ends with one line that says what to do."
import ast, importlib.util, os, shutil, socket, subprocess, sys, time, urllib.request
from collections import namedtuple
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture
def house(tmp_path):
    "tools/house.py, working on an empty project."
    spec = importlib.util.spec_from_file_location("house", ROOT/"tools"/"house.py")
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    (tmp_path/"tools").mkdir()
    for name in ("settings.ini", "setup.py", "README.md", ".gitignore", "tools/house.py"): shutil.copy(ROOT/name, tmp_path/name)
    house.ROOT, house.VENV, house.BIN = tmp_path, tmp_path/".venv", tmp_path/".venv"/"bin"
    return house

def message(call):
    "The one line a set-up ended with."
    with pytest.raises(SystemExit) as end: call()
    assert len(str(end.value).splitlines()) == 1
    return str(end.value)

def test_old_python(house, monkeypatch):
    monkeypatch.setattr(house.sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(house.shutil, "which", lambda name: None)
    assert "Python 3.10 or newer is needed" in message(house.check_python)

def test_old_python_takes_a_newer_one_beside_it(house, monkeypatch):
    monkeypatch.setattr(house.sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(house.sys, "argv", ["-c", "raise SystemExit(7)"])
    monkeypatch.setattr(house.shutil, "which", lambda name: sys.executable if name == "python3.12" else None)
    with pytest.raises(SystemExit) as end: house.check_python()
    assert end.value.code == 7

def test_old_pythons_can_read_the_file(): ast.parse((ROOT/"tools"/"house.py").read_text(encoding="utf-8"), feature_version=(3, 6))

def test_no_venv_module(house, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert "apt install python3-venv" in message(house.setup)

def test_full_disk(house, monkeypatch):
    monkeypatch.setattr(house.shutil, "disk_usage", lambda path: namedtuple("usage", "total used free")(2**40, 2**40, 2**30))
    assert "1.0 GB are free here and about 3 GB are needed" in message(house.setup)

def test_disk_full_on_the_way(house): assert "disk is full" in message(lambda: house.explain("OSError: [Errno 28] No space left on device"))

def test_no_network(house, monkeypatch, capsys):
    for name, value in dict(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0", PIP_FIND_LINKS="", PIP_NO_CACHE_DIR="1").items(): monkeypatch.setenv(name, value)
    start = time.time()
    assert "cannot be reached; check network" in message(house.setup)
    said = capsys.readouterr().out
    assert "virtual environment: done" in said and "failed" in said
    assert time.time() - start < 120 and not (house.VENV/"installed.txt").exists()

def test_second_call_skips_what_is_done(house, monkeypatch, capsys):
    done = []
    monkeypatch.setattr(house, "step", lambda name, command, **kw: done.append(name) or house.VENV.mkdir(exist_ok=True) or True)
    house.setup()
    assert "packages" in done and "virtual environment" in done
    done.clear(); house.setup()
    assert done == []
    (house.ROOT/"settings.ini").open("a").write("\n")
    house.setup()
    assert "packages" in done and "virtual environment" not in done
    assert capsys.readouterr().out.count("Setting up") == 2

@pytest.mark.parametrize("gpu, answers, wanted", [(False, True, ["uv", "reach", "torch"]), (False, False, ["uv", "reach"]), (True, True, [])])
def test_cpu_build_of_torch(house, monkeypatch, gpu, answers, wanted):
    done = []
    monkeypatch.setattr(house.platform, "system", lambda: "Linux")
    monkeypatch.setattr(house.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
    monkeypatch.setattr(house, "step", lambda name, command, **kw: done.append((name, command, kw)) or (answers or "reach" not in name))
    house.cpu_torch(["pip", "install"])
    assert len(done) == len(wanted) and all(w in name for w, (name, _, _) in zip(wanted, done))
    assert all(kw["optional"] for *_, kw in done) and [kw["timeout"] for name, _, kw in done if "reach" in name] == [15] * (not gpu)

def test_an_optional_step_that_hangs_is_left(house):
    start = time.time()
    assert not house.step("slow", [sys.executable, "-c", "import time; time.sleep(60)"], timeout=1, optional=True)
    assert time.time() - start < 20

def test_clean_leaves_a_fresh_clone(house):
    git = lambda *words: subprocess.run(["git", *words], cwd=house.ROOT, check=True, capture_output=True, text=True).stdout
    git("init", "-q"); git("add", "-A"); git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    for made in (".venv/bin/python", "runs/market/report.html", "p5_nb/__pycache__/core.pyc", "nbs/x/.ipynb_checkpoints/a.ipynb", "p5_nb.egg-info/PKG-INFO", "data/a.zip.part", ".gitconfig"):
        (house.ROOT/made).parent.mkdir(parents=True, exist_ok=True); (house.ROOT/made).write_text("made")
    (house.ROOT/"mine.txt").write_text("kept")
    house.clean()
    assert git("status", "--short", "--ignored") == "?? mine.txt\n"

def test_lab_answers():
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    start = (f"import sys; from pathlib import Path; sys.path.insert(0, 'tools'); import house; house.setup = lambda: None; house.BIN = Path({str(Path(sys.executable).parent)!r}); "
             f"sys.argv = ['house', 'lab', '--no-browser', '--port={port}', '--ServerApp.port_retries=0', '--IdentityProvider.token=']; house.lab()")
    lab = subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try: page = wait_for(f"http://127.0.0.1:{port}/", 90)
    finally: os.killpg(lab.pid, 15); lab.wait(30)
    assert "<title>JupyterLab</title>" in page and '"treePath": "nbs/00_start/000_tour.ipynb"' in page

def wait_for(address, seconds):
    "The page, as soon as it answers."
    until = time.time() + seconds
    while True:
        try: return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10).read().decode()
        except OSError:
            if time.time() > until: raise
            time.sleep(0.5)
