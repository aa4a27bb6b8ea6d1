"""A wheel built from the project works outside of it, embedded data included.

The wheel goes into an empty environment. Third-party packages are not downloaded again: a .pth file lends them from the
environment the tests run in, which does not lend p5_nb (an editable install is only found through .pth files of its own)."""
import os, re, shutil, subprocess, sys, sysconfig, zipfile
from configparser import ConfigParser
from pathlib import Path
import nbformat, pytest
import p5_nb.cli as cli
from p5_nb.data.market import load_market

ROOT = Path(__file__).resolve().parent.parent

def run(*command, cwd, **env):
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={k: v for k, v in {**os.environ, **env}.items() if k not in ("PYTHONPATH", "P5NB_DATA", "VIRTUAL_ENV")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout

@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "Built from a copy, so that nothing is left in the checkout."
    copy = tmp_path_factory.mktemp("build")/"project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "build", "*.egg-info", "__pycache__", ".ipynb_checkpoints"))
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".", cwd=copy)
    return next((copy/"dist").glob("*.whl"))

def environment(folder):
    "The Python of an environment that is empty but for what it is lent."
    run(sys.executable, "-m", "venv", "--without-pip", folder/"env", cwd=folder)
    python = folder/"env"/("Scripts" if os.name == "nt" else "bin")/"python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (site/"lent.pth").write_text(sysconfig.get_path("purelib"))
    return python

@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    "An environment with the wheel, in a folder far from the checkout."
    folder = tmp_path_factory.mktemp("elsewhere")
    python = environment(folder)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder, python

def test_what_is_inside(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"p5_nb/_nbs/00_start/000_tour.ipynb", "p5_nb/_nbs/90_paper/900_run.ipynb", "p5_nb/cli.py", "p5_nb/data/schema.py"} <= set(names)
    for part in ("market/", "prompts/", "results/"): assert any(n.startswith(f"p5_nb/_data/{part}") for n in names) == any((ROOT/"data"/part).glob("*"))
    assert not [n for n in names if n.startswith(("tests", "tools", "data", "nbs"))] and wheel.stat().st_size < 5_000_000

def test_it_is_the_wheel_that_runs(elsewhere):
    folder, python = elsewhere
    said = run(python, "-c", "import p5_nb, p5_nb.core as c; print(p5_nb.__file__, c.repo_folder())", cwd=folder)
    assert said.startswith(str(folder)) and said.strip().endswith("None")

def test_command_line(elsewhere):
    folder, python = elsewhere
    assert "usage: p5nb" in run(python.with_name("p5nb"), "--help", cwd=folder)
    assert "interactions" in run(python.with_name("p5nb"), "data", "market", cwd=folder)

@pytest.fixture(scope="module")
def trained(elsewhere):
    "One real run on the simulated market, and what it said."
    folder, python = elsewhere
    return folder/"first", run(python.with_name("p5nb"), "run", "--run", "smoke", "--out", "first", cwd=folder)

def test_the_main_job_leaves_what_it_promises(trained):
    folder, said = trained
    assert (folder/"report.html").stat().st_size > 5000 and len(cli.find_records(folder)) == 1 and (folder/"first.ipynb").exists()
    assert list(folder.rglob("*.safetensors")) and "best possible list" in said and "popularity" in said

def test_a_trained_model_answers(trained, elsewhere, capsys):
    folder, market = trained[0], load_market().interactions
    user, item = str(market.users[0]), str(market.items["item"][0])
    said = run(elsewhere[1].with_name("p5nb"), "recommend", folder, user, "-k", 3, cwd=folder.parent)
    assert sum(str(label) in said for label in market.items["item"]) + sum(str(t) in said for t in market.items["title"]) >= 3
    assert cli.main(["rate", str(folder), user, item]) == 0 and cli.main(["explain", str(folder), user, item]) == 0
    assert cli.main(["recommend", str(folder), "nobody"]) == 1
    assert "nobody" in (err := capsys.readouterr().err) and "Traceback" not in err

def test_records_as_table_and_figure(trained, tmp_path, capsys):
    assert cli.main(["results", str(trained[0])]) == 0 and "p5" in capsys.readouterr().out
    assert cli.main(["figures", str(trained[0]), "--out", str(tmp_path)]) == 0 and list(tmp_path.glob("*.png"))

# The first cell of a lesson, for machines that others lend
SET_UP = {c.source for p in (ROOT/"nbs").glob("[0-9]*/*.ipynb") for c in nbformat.read(p, 4).cells if c.source.startswith("#| hide\ntry: import p5_nb")}

def first_cell(python, cwd, **env):
    "Run the cell as a kernel does, and say where the package lies then."
    code = f"from IPython.core.interactiveshell import InteractiveShell as S; S.instance().run_cell({SET_UP.copy().pop()!r}).raise_error(); import p5_nb; print(p5_nb.__file__)"
    return run(python, "-c", code, cwd=cwd, **env).splitlines()[-1]

def test_all_lessons_set_up_alike_and_from_our_address():
    config = ConfigParser(delimiters=["="])
    config.read(ROOT/"settings.ini", encoding="utf-8")
    assert len(SET_UP) == 1 and f'"p5_nb @ git+{config["DEFAULT"]["git_url"]}"' in SET_UP.copy().pop()
    wanted = [re.split(r"[<>=]", w)[0] for w in (ROOT/".binder"/"requirements.txt").read_text().split("\n") if w]
    assert wanted[0] == "-e ." and set(wanted[1:]) <= {re.split(r"[<>=]", w)[0] for w in config["DEFAULT"]["dev_requirements"].split()}

def test_set_up_leaves_what_is_there(elsewhere): assert first_cell(elsewhere[1], elsewhere[0]).startswith(str(elsewhere[0]))

@pytest.mark.skipif(not (ROOT/".git").exists() or not shutil.which("git"), reason="the package is installed from a repository, and this is none")
def test_set_up_installs_what_is_missing(tmp_path):
    "From the address in the cell, which git is told to look for here; without an index, so without what the package needs, which is lent."
    here = dict(GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0=f"url.{ROOT.as_uri()}.insteadOf", GIT_CONFIG_VALUE_0="https://github.com/p5-nb/p5_nb", GIT_CONFIG_KEY_1="safe.directory", GIT_CONFIG_VALUE_1="*")
    said = first_cell(environment(tmp_path), tmp_path, **here, PIP_NO_DEPS="1", PIP_NO_INDEX="1", PIP_NO_BUILD_ISOLATION="false")          # pip turns this one round
    assert said.startswith(str(tmp_path))
