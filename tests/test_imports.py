"Module imports point only downwards, and never in a circle."
import ast, configparser, re, sys
from pathlib import Path
import pytest
import p5_nb

FLOORS = [["core", "viz", "results", "exercises", "report", "learner", "explore"], ["data"], ["measure", "text"], ["baselines"], ["index"],
          ["pretrain"], ["prompt"], ["predict"], ["live", "trust"], ["paper"]]
BESIDE = {"cli", "docs", "course", "slides"}                       # may import anything; nothing imports them

def rooms(folder):
    "Module name → names of p5_nb modules it imports, wherever in the file."
    found = {}
    for path in Path(folder).rglob("*.py"):
        if path.name.startswith("_"): continue
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts)] = used = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level: used.add(".".join([*parts[:len(parts) - node.level], *(node.module or "").split(".")]).strip("."))
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("p5_nb."): used.add(node.module[6:])
            elif isinstance(node, ast.Import): used |= {a.name[6:] for a in node.names if a.name.startswith("p5_nb.")}
    return {m: {u for u in used if u} for m, used in found.items()}

def wrong_arrows(modules):
    "Imports that point up, to what stands beside the house, or round in a circle."
    floor = {room: i for i, names in enumerate(FLOORS) for room in names}
    height = lambda m: floor[m.split(".")[0]]
    wrong = [f"{m} → {u}" for m, used in modules.items() if m not in BESIDE for u in used if u.split(".")[0] in BESIDE or height(u) > height(m)]
    def circle(m, path):
        if m in path: return [" → ".join([*path[path.index(m):], m])]
        return [c for u in modules.get(m, ()) for c in circle(u, [*path, m])]
    return wrong + [c for m in modules for c in circle(m, [])]

def test_every_room_has_a_floor():
    known = {room for names in FLOORS for room in names} | BESIDE
    assert {m.split(".")[0] for m in rooms(Path(p5_nb.__file__).parent)} <= known

def test_imports_point_down():
    assert wrong_arrows(rooms(Path(p5_nb.__file__).parent)) == []

@pytest.mark.parametrize("module, text", [("data/x.py", "from p5_nb.predict.beam import y"), ("data/x.py", "from ..predict import beam"),
                                          ("core.py", "def f():\n    import p5_nb.data.x"), ("data/x.py", "from p5_nb.cli import main")])
def test_an_upward_arrow_is_found(tmp_path, module, text):
    (tmp_path/module).parent.mkdir(exist_ok=True)
    (tmp_path/module).write_text(text)
    assert len(wrong_arrows(rooms(tmp_path))) == 1

def test_a_circle_is_found(tmp_path):
    (tmp_path/"core.py").write_text("from p5_nb.viz import a")
    (tmp_path/"viz.py").write_text("from .core import b")
    assert wrong_arrows(rooms(tmp_path))

def test_runtime_requirements_are_what_is_imported():
    "Every third-party package that p5_nb imports is required, and nothing is required that it does not import."
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(Path(p5_nb.__file__).parent.parent/"settings.ini", encoding="utf-8")
    required = {re.split(r"[<>=!~]", word)[0] for word in settings["DEFAULT"]["requirements"].split()}
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in Path(p5_nb.__file__).parent.rglob("*.py")]
    nodes = [n for tree in trees for n in ast.walk(tree)]
    used = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names} | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    used = {name.split(".")[0] for name in used} - set(sys.stdlib_module_names) - {"p5_nb", "nbdev", "nbconvert", "ipywidgets"}          # of dev: the site needs a checkout, knobs a notebook
    through = {"IPython": "ipykernel", "traitlets": "ipykernel", "nbclient": "papermill", "nbformat": "papermill", "jupyter_client": "papermill", "cycler": "matplotlib", "sklearn": "scikit-learn"}      # packages that come with one that is required
    assert {through.get(name, name) for name in used} | {"pyarrow", "ipykernel"} == required  # pyarrow reads Parquet for pandas, ipykernel runs notebooks
