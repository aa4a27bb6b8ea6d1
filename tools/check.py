"""`make test`: export drift, every notebook's own checks, reruns with another seed, pytest; one summary, one exit code."""
import filecmp, os, re, shutil, subprocess, sys, tempfile, time
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WORKERS = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg", "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1",
       "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}

def run(*command, cwd=ROOT):
    "A command's exit code and output."
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout

def different(a, b, pattern):
    "Files that exist on one side only or differ."
    names = {p.relative_to(side) for side in (a, b) for p in side.rglob(pattern) if "__pycache__" not in p.parts and ".ipynb_checkpoints" not in p.parts}
    return sorted(str(n) for n in names if not ((a/n).exists() and (b/n).exists() and filecmp.cmp(a/n, b/n, shallow=False)))

def drift():
    "Exporting and cleaning the notebooks must change nothing; done on a copy."
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)/"p5_nb"
        copy.mkdir()
        for name in ("nbs", "p5_nb"): shutil.copytree(ROOT/name, copy/name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        for name in ("settings.ini", "setup.py", "README.md"): shutil.copy(ROOT/name, copy/name)
        for tool in ("nbdev_export", "nbdev_clean"):
            code, output = run(BIN/tool, cwd=copy)
            if code: return 0, 1, 0, output
        changed = different(ROOT/"p5_nb", copy/"p5_nb", "*.py") + different(ROOT/"nbs", copy/"nbs", "*.ipynb")
    if changed: return 0, 1, 0, "run nbdev_export and nbdev_clean; they would change " + ", ".join(changed)
    return 1, 0, 0, ""

def notebooks():
    "Every notebook's own checks, at its stored parameters."
    code, output = run(BIN/"nbdev_test", "--n_workers", WORKERS, "--do_print")
    names = [p.name for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    failed = len(re.findall(r"^\S+\.ipynb$", output.split("nbdev Tests Failed On The Following Notebooks:")[-1], re.M)) or 1 if code else 0
    return len(names) - failed, failed, 0, output if code else ""

def tests():
    "tests/, among them the reruns of every lesson at smoke with another seed."
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder)/"report.xml"
        code, output = run(BIN/"python", "-m", "pytest", "tests", "-q", "-n", WORKERS, "--dist", "worksteal", "--durations", "15", f"--junitxml={report}", "-p", "no:cacheprovider")
        if not report.exists(): return 0, 1, 0, output
        suite = ET.parse(report).getroot().find("testsuite")
    count = {k: int(suite.get(k)) for k in ("tests", "failures", "errors", "skipped")}
    bad = count["failures"] + count["errors"]
    skipped = [f"skipped: {c.get('classname')}.{c.get('name')}: {c.find('skipped').get('message')}" for c in suite.iter("testcase") if c.find("skipped") is not None]
    print("\n".join(skipped + [line for line in output.splitlines() if re.match(r"^\d+\.\d+s (call|setup)", line)]))
    return count["tests"] - bad - count["skipped"], bad or int(code not in (0, 5)), count["skipped"], output if code else ""

def main():
    "All parts, a table, the plain closing line."
    total, start = [0, 0, 0], time.time()
    rows = []
    for name, part in (("export and clean drift", drift), ("notebooks' own checks", notebooks), ("tests and reruns", tests)):
        print(f"{name} …", flush=True)
        began = time.time()
        passed, failed, skipped, output = part()
        if output: print(output[-12000:])
        rows.append((name, passed, failed, skipped, time.time() - began))
        total = [t + n for t, n in zip(total, (passed, failed, skipped))]
    print(f"\n{'part':26}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, p, f, s, t in [*rows, ("all", *total, time.time() - start)]: print(f"{name:26}{p:8}{f:8}{s:9}{t:9.0f}")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0

if __name__ == "__main__": sys.exit(main())
