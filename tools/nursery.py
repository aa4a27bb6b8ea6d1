"""Kernels that are there at once: forked from a process in which the heavy packages are loaded already (Linux). Reruns of fifty notebooks need no fifty imports of torch."""
import atexit, importlib, json, os, select, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from pathlib import Path

HEAVY = "ipykernel.kernelapp", "IPython.core.completer", "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.projections", "pandas", "scipy.sparse.linalg", "torch", "safetensors.torch", "tqdm.auto", "nbformat"

def tend(place):
    "Fork a kernel for every caller of the socket at `place`, until standard input ends."
    for name in HEAVY: importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)                    # nobody asks how a kernel ended; its caller hears that it did
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place); door.listen()
        while sys.stdin not in (ready := select.select([door, sys.stdin], [], [])[0]):
            if not ready: continue
            caller, _ = door.accept()
            if os.fork() == 0:
                door.close()
                become_kernel(caller)
            caller.close()

def become_kernel(caller):
    "Be the kernel that the caller wants; end with it."
    wish = json.loads(caller.makefile().readline())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid(); os.chdir(wish["cwd"]); os.environ.clear(); os.environ.update(wish["env"])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2): os.dup2(nowhere, fd)
    threading.Thread(target=lambda: caller.recv(1) or os.killpg(0, signal.SIGKILL), daemon=True).start()
    sys.path[:] = [p for p in sys.path if p != str(Path(__file__).parent)]
    from ipykernel.kernelapp import launch_new_instance
    launch_new_instance(argv=wish["argv"])
    os._exit(0)

def call(place, *argv):
    "Stand for a kernel: ask for one, and stay until it ends."
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(place)
        env = {k: v for k, v in os.environ.items() if k != "JPY_PARENT_PID"}         # its parent is the nursery
        line.sendall((json.dumps(dict(argv=argv, cwd=os.getcwd(), env=env)) + "\n").encode())
        line.recv(1)

def place(kept=[]):
    "The socket of this process's nursery, which is opened with the first call; None where it does not open."
    if not kept:
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        kept.append(str(Path(folder)/"door"))
        nursery, until = subprocess.Popen([sys.executable, __file__, "tend", kept[0]], stdin=subprocess.PIPE), time.time() + 120
        atexit.register(nursery.stdin.close)
        while kept[0] and not os.path.exists(kept[0]):
            time.sleep(.05)
            if nursery.poll() is not None or time.time() > until: kept[0] = None
    return kept[0]

def kernels(usual):
    "A manager like `usual` whose kernels come from the nursery; where there is none, `usual` itself."
    door = place() if sys.platform == "linux" else None
    if not door: return usual
    class Forked(usual):
        def format_kernel_cmd(self, extra_arguments=None): return [sys.executable, "-S", __file__, "call", door, "-f", self.connection_file, *(extra_arguments or [])]
    return Forked

if __name__ == "__main__": dict(tend=tend, call=call)[sys.argv[1]](*sys.argv[2:])
