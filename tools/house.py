"""Set up and drive the project with the standard library only: setup, run, test, docs, lab, clean."""
import hashlib, os, platform, shutil, subprocess, sys, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT/".venv"
BIN = VENV/("Scripts" if os.name == "nt" else "bin")
NEED_GB = 3
NO_NETWORK = ("name resolution", "getaddrinfo failed", "nodename nor servname", "Failed to establish a new connection", "Connection refused",
              "Network is unreachable", "Max retries exceeded", "timed out", "ProxyError", "(from versions: none)")

def stop(message):
    "End with one line that says what to do."
    sys.exit("p5_nb: " + message)

def newer_python():
    "A Python of 3.10 or newer that lies beside an old one, or None."
    for minor in range(13, 9, -1):
        path = shutil.which("python3.%d" % minor)
        if path and subprocess.call([path, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0: return path

def check_python():
    "An old Python hands over to a newer one where there is one, and else ends here."
    if sys.version_info >= (3, 10): return
    path = newer_python()
    if path is None: stop("Python 3.10 or newer is needed, this is %s; install one, then call: make PYTHON=python3.12 ..." % platform.python_version())
    print("Python %s is too old; using %s" % (platform.python_version(), path))
    sys.stdout.flush()
    sys.exit(subprocess.call([path] + sys.argv))

def check_machine():
    "A missing venv module or a full disk end here, each with one line."
    try: import ensurepip, venv  # noqa: F401
    except ImportError: stop("this Python lacks the venv module; on Debian or Ubuntu: sudo apt install python3-venv, elsewhere install Python from python.org")
    free = shutil.disk_usage(str(ROOT)).free/2**30
    if free < NEED_GB: stop(f"only {free:.1f} GB are free here and about {NEED_GB} GB are needed; free some space or clone onto another disk")
    if not os.access(str(ROOT), os.W_OK): stop(f"{ROOT} cannot be written to; clone into a folder of your own")

def step(name, command, timeout=None, optional=False, **env):
    "Run one step and print its name and seconds; an optional one may fail, any other ends here with the reason."
    start = time.time()
    if sys.stdout.isatty(): print(f"  {name} …", end="\r", flush=True)
    try: done = subprocess.run([str(c) for c in command], cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired: done = None
    ok = done is not None and done.returncode == 0
    print(f"  {name}: {'done' if ok else 'no' if optional else 'failed'}, {time.time() - start:.1f} s", flush=True)
    if not ok and not optional: explain(done.stdout if done else "it took too long")
    return ok

def explain(output):
    "One line for the usual reasons, else the end of the output."
    if "No space left on device" in output: stop(f"the disk is full; free about {NEED_GB} GB and call the command again")
    if any(words in output for words in NO_NETWORK): stop("the packages cannot be reached; check network, proxy or PIP_INDEX_URL and call the command again (downloads are kept)")
    print(output[-4000:])
    stop("this step failed; its last lines are above")

def stamp():
    "What the environment was made from."
    parts = [(ROOT/name).read_bytes() for name in ("settings.ini", "setup.py", "tools/house.py")]
    return hashlib.sha256(b"".join(parts)).hexdigest()

def read(path):
    "The text of a file, empty where there is none."
    return path.read_text(encoding="utf-8") if path.exists() else ""

def make_venv():
    "A fresh .venv, unless there is one of this folder and this Python."
    mark, here = VENV/"made_for.txt", f"{ROOT}\n{platform.python_version()}"
    if read(mark) == here: return
    step("virtual environment", [sys.executable, "-m", "venv", "--clear", VENV])
    mark.write_text(here, encoding="utf-8")

def cpu_torch(pip):
    "On Linux without a GPU take torch's CPU build, which is ten times smaller; where its index does not answer, pip chooses later."
    if platform.system() != "Linux" or shutil.which("nvidia-smi"): return
    want = next(w for w in read(ROOT/"settings.ini").split() if w.startswith("torch>"))
    uv = [BIN/"uv", "pip", "install", "--python", BIN/"python", "--torch-backend=cpu", want]
    if not step("uv, which knows where torch's CPU build lies", [*pip, "uv"], timeout=60, optional=True): return
    if step("is it in reach?", [*uv, "--dry-run"], timeout=15, optional=True, UV_HTTP_TIMEOUT="5", UV_HTTP_RETRIES="0"):
        step("torch, CPU build", uv, timeout=1800, optional=True)

def setup():
    "Make .venv and install, unless that is done."
    mark = VENV/"installed.txt"
    if read(mark) == stamp(): return
    check_machine()
    start = time.time()
    print("Setting up .venv; this happens once and takes a few minutes.", flush=True)
    make_venv()
    pip = [BIN/"python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    step("pip", [*pip, "--upgrade", "pip"])
    cpu_torch(pip)
    step("packages", [*pip, "--editable", ".[dev]"])
    if (ROOT/".git").is_dir():
        step("git hooks and merge driver for notebooks", [BIN/"nbdev_install_hooks"], optional=True)
        step("… found without activating .venv", ["git", "config", "--local", "merge.nbdev-merge.driver", f"'{BIN}/nbdev_merge' %O %A %B %P"], optional=True)
        hook = ROOT/".git"/"hooks"/"post-merge"
        if "\nnbdev_trust" in read(hook): hook.write_text(read(hook).replace("\nnbdev_trust", f"\n'{BIN}/nbdev_trust'"), encoding="utf-8")
    mark.write_text(stamp(), encoding="utf-8")
    print(f"Ready in {time.time() - start:.0f} s.", flush=True)

def call(*command):
    "Run a command of the environment in the foreground and end with its exit code."
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    sys.exit(subprocess.run([str(c) for c in command], cwd=ROOT, env={**os.environ, "PATH": path}).returncode)

def run():
    "The main job: the tour on the simulated market, or DATA=beauty, or DATA=path/to/my.csv."
    setup()
    given = lambda name: os.environ.get(name, "").strip()
    options = [word for name in ("RUN", "SEED", "OUT") if given(name) for word in ("--" + name.lower(), given(name))]
    call(BIN/"p5nb", "run", *([given("DATA")] if given("DATA") else []), *options)

def test():
    "Every check of the project."
    setup()
    call(BIN/"python", ROOT/"tools"/"check.py", *sys.argv[2:])

def docs():
    "The site, from what is stored; nothing is executed or fetched."
    setup()
    call(BIN/"python", "-c", "from p5_nb.docs import main; main()")

def lab():
    "JupyterLab on the tour."
    setup()
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []      # as in a container
    call(BIN/"jupyter", "lab", *root, f"--ServerApp.root_dir={ROOT}", "--LabApp.default_url=/lab/tree/nbs/00_start/000_tour.ipynb", *sys.argv[2:])

def made():
    "What .gitignore names, outermost first."
    names = [line.strip().rstrip("/") for line in read(ROOT/".gitignore").splitlines() if line.strip() and not line.startswith("#")]
    def walk(folder):
        for path in sorted(folder.iterdir()):
            if path.name == ".git": continue
            if any(path.match(name) for name in names): yield path
            elif path.is_dir() and not path.is_symlink(): yield from walk(path)
    return list(walk(ROOT))

def clean():
    "Leave a fresh clone: remove what set-up, runs and tests made."
    for path in made():
        print("removing", path.relative_to(ROOT))
        if path.is_dir() and not path.is_symlink(): shutil.rmtree(path)
        else: path.unlink()

def help():
    "What there is."
    print("make run     set up and do the main job; results in runs/\n"
          "             DATA=market|beauty|path/to/my.csv  RUN=smoke|small|full  SEED=0  OUT=folder\n"
          "make test    set up and run every check\n"
          "make docs    set up and build the site, _docs/index.html\n"
          "make lab     set up and open JupyterLab on the tour\n"
          "make setup   only set up .venv\n"
          "make clean   remove all that was made: .venv, runs and caches")

if __name__ == "__main__":
    jobs = dict(setup=setup, run=run, test=test, docs=docs, lab=lab, clean=clean, help=help)
    name = sys.argv[1] if len(sys.argv) > 1 else "help"
    if name not in jobs: stop("unknown job %r; there are %s" % (name, ", ".join(jobs)))
    check_python()
    try: jobs[name]()
    except KeyboardInterrupt: sys.exit(130)
