"""`make test`: drift, the craft of the notebooks, every notebook as stored and with another seed, pytest; tables, one exit code."""
import filecmp, os, re, shutil, subprocess, sys, tempfile, time
import xml.etree.ElementTree as ET
from pathlib import Path
import craft as rules

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
QUIET = dict(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", MPLBACKEND="agg", PYTHONWARNINGS="ignore", HF_HUB_OFFLINE="1", P5NB_PROGRESS="0", P5NB_BF16="0")
ENV = {**os.environ, **QUIET, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}      # one thread a worker, as many workers as cores

def run(*command, cwd=ROOT):
    "A command's exit code and output."
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    return done.returncode, done.stdout

def fresh_copy(copy):
    "The notebooks, and of the package only what no notebook makes."
    for path in [*(ROOT/"p5_nb").rglob("__init__.py"), *rules.pages(ROOT), ROOT/"settings.ini", ROOT/"tools"/"readme.py"]:
        (copy/path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy/path.relative_to(ROOT))

def files(root): return {p.relative_to(root) for kind in ("p5_nb/**/*.py", "nbs/**/*.ipynb", "nbs/images/*.png", "README.md") for p in root.glob(kind) if ".ipynb_checkpoints" not in p.parts}

def drift():
    "Exporting, cleaning and the README, done on a copy, must give the files that are here."
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)/ROOT.name
        fresh_copy(copy)
        for command in ([BIN/"nbdev_export"], [BIN/"nbdev_clean"], [BIN/"python", "tools/readme.py"]):
            code, output = run(*command, cwd=copy)
            if code: return 0, 1, 0, output
        names = files(ROOT) | files(copy)
        changed = sorted(str(n) for n in names if not ((ROOT/n).exists() and (copy/n).exists() and filecmp.cmp(ROOT/n, copy/n, shallow=False)))
    if changed: return len(names) - len(changed), len(changed), 0, "call nbdev_export, nbdev_clean and tools/readme.py; they would change " + ", ".join(changed)
    return len(names), 0, 0, ""

def craft():
    "Every notebook against the rules of the craft; the table is printed in any case."
    rows = list(rules.review(rules.pages(ROOT), ROOT))
    print("\n".join(rules.table(rows)), flush=True)
    failed = sum(bool(row[1]) for row in rows)
    return len(rows) - failed, failed, 0, ""

def pytest(*what, share="load"):
    "Counts of a pytest run; prints what was skipped and what took long. `share` says what goes to one worker: load a test, loadfile a file."
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder)/"report.xml"
        code, output = run(BIN/"python", "-m", "pytest", "-q", "-n", WORKERS, "--dist", share, "--no-loadscope-reorder", "--durations", "25", "--durations-min", "3", f"--junitxml={report}", "-p", "no:cacheprovider", *what)
        if not report.exists(): return 0, 1, 0, output
        suite = ET.parse(report).getroot().find("testsuite")
    for case in suite.iter("testcase"):
        told = {p.get("name"): p.get("value") for p in case.iter("property")}
        if "notebook" in told: CLOCK.setdefault(told.pop("notebook"), {}).update(told)
    skipped = [f"{c.get('name')}: {c.find('skipped').get('message')}" for c in suite.iter("testcase") if c.find("skipped") is not None]
    print("\n".join([f"  skipped {s}" for s in skipped] + [f"  {line}" for line in output.splitlines() if re.match(r"^\d+\.\d+s ", line)]))
    bad = int(suite.get("failures")) + int(suite.get("errors"))
    passed = int(suite.get("tests")) - bad - len(skipped)
    missing = [s for s in skipped if "real data" in s and os.environ.get("P5NB_REQUIRE_REAL")]
    for s in missing: output += f"\nskipped although real data are required: {s}"
    return passed, bad + len(missing) or int(code not in (0, 5)), len(skipped) - len(missing), output if code or missing else ""

CLOCK = {}          # notebook → what tests/test_notebooks.py tells: seconds promised by the header, as stored, with another seed

def clock():
    "Promised and measured seconds of each notebook; told, never asserted."
    over = []
    yield f"{'notebook':22}{'promised':>10}{'as stored':>11}{'other seed':>12}{'measured/promised':>19}   seconds, {WORKERS} at a time"
    for name, took in sorted(CLOCK.items()):
        promised, stored, seed = (float(took.get(k, "nan")) for k in ("promised", "stored", "seed"))
        slowest = max([t for t in (stored, seed) if t == t], default=float("nan"))
        if slowest > max(1.5*promised, promised + 5): over.append(name)
        yield f"{name[:21]:22}{promised:10.0f}{stored:11.0f}{seed:12.0f}{slowest/promised:19.1f}{'   over' * (name in over)}".replace("nan", "  –")
    yield f"{len(over)} of {len(CLOCK)} took more than half as long again as their headers promise"

PARTS = {"export, clean, README drift": drift, "craft of the notebooks": craft, "notebooks, run twice": lambda: pytest("tests/test_notebooks.py"),
         "tests": lambda: pytest("tests", "--ignore=tests/test_notebooks.py", share="loadfile")}

def main(*wanted):
    "All parts, or those with a wanted word in their name; tables, the plain closing line."
    rows, start = [], time.time()
    for name, part in PARTS.items():
        if wanted and not any(word in name for word in wanted): continue
        print(f"{name} …", flush=True)
        began = time.time()
        passed, failed, skipped, output = part()
        if output: print(output[-20000:], flush=True)
        rows.append((name, passed, failed, skipped, time.time() - began))
    if CLOCK: print("\n" + "\n".join(clock()))
    total = [sum(r[i] for r in rows) for i in (1, 2, 3)]
    print(f"\n{'part':30}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, p, f, s, t in [*rows, ("all", *total, time.time() - start)]: print(f"{name:30}{p:8}{f:8}{s:9}{t:9.0f}")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0

if __name__ == "__main__": sys.exit(main(*sys.argv[1:]))
