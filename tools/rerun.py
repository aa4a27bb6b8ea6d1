"""Run a notebook again and hold its outputs against those that are stored: python tools/rerun.py nbs/10_data/100_schema.ipynb …"""
import html, os, re, sys, tempfile, time
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
QUIET = dict(MPLBACKEND="module://matplotlib_inline.backend_inline", IN_TEST="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", PYTHONWARNINGS="ignore", HF_HUB_OFFLINE="1", P5NB_PROGRESS="0", P5NB_BF16="0", P5NB_STATIC="1")
REAL = "beauty sports toys musical musical-ratings digital-music gift-cards all-beauty ml-latest-small lastfm2k".split()       # sets that lay here when the pages were stored
SKIP = re.compile(r"^#\| *slow\b|nbdev_export\(", re.M)          # with `eval: false`, which p5_nb.cli.ready marks, what nbdev_test leaves out
RELATIVE = .02                                                   # what two machines may differ in a number with decimals
TINY = 1e-5                                                      # below this, numbers are rounding noise
# What no two runs share, in the order in which it is masked
MASKS = ((r"(?m)^training: [\d,]+ steps\b.*\n?", ""),                  # told only where training takes long
         (r"( at)? 0x[0-9a-f]{6,}", ""), (r"\b(127\.0\.0\.1|localhost):\d+", "SERVER"), (r"\b[0-9a-f]{40}\b", "COMMIT"), (r"\b20(?:2[5-9]|[3-9]\d)-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "DATE"),
         (r"(?<![\w.])(?:/(?:tmp|var|private|home|root|Users)\b|[A-Z]:\\)[^\s'\",;:)<>]*", "PATH"),
         (r"\d[\d,]*(?:\.\d+)? ?(?:s|ms|µs|ns|seconds?|minutes?|min|hours?|h|[kKMG]i?B)\b(?:/\w+)?", "COST"), (r"(?<=seconds)\W{1,3}\d[\d.,]*", " COST"))
NUMBER = re.compile(r"(?<![A-Za-z_])[-+−]?\d[\d,]*(?:\.\d*)?(?:[eE][-+]?\d+)?")

class Trouble(Exception): "Why a notebook did not run to its end, in one line."

def play(path, limit=600, **given):
    "The notebook executed in its folder as papermill does it, and the seconds; `limit` counts for all cells together."
    import nbclient.exceptions, papermill, papermill.exceptions
    import nursery
    from p5_nb.cli import quiet_kernels, ready
    begin, name = time.time(), Path(path).name
    try: notebook = ready(path, given)
    except ValueError as e:
        tagged = any("parameters" in c.metadata.get("tags", []) for c in ready(path, {}).cells)
        raise Trouble(f"unknown parameter: {e}" if tagged else f"missing tag: {name} has no cell tagged `parameters`, so {', '.join(given)} cannot be given") from None
    for c in notebook.cells:
        if c.cell_type == "code" and SKIP.search(c.source): c.metadata.setdefault("tags", []).append("skip-execution")
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QUIET):
        try: done = papermill.execute_notebook(notebook, str(Path(folder)/name), given, kernel_name="python3", language="python", progress_bar=False, cwd=str(Path(path).parent),
                                               kernel_manager_class=nursery.kernels(quiet_kernels()), timeout_func=lambda cell: max(1, round(limit - time.time() + begin)))
        except nbclient.exceptions.CellTimeoutError as e: raise Trouble(f"timeout: {name} was stopped after {limit} s, in the cell\n{cell_of(str(e))}") from None
        except nbclient.exceptions.DeadKernelError: raise Trouble(f"dead kernel: the process of {name} ended by itself, often for want of memory") from None
        except papermill.exceptions.PapermillExecutionError as e: raise Trouble(f"failing cell: {name}, cell {e.cell_index}\n{e.source}\n{e.ename}: {e.evalue}") from None
    return done, time.time() - begin

def cell_of(message):
    "The source that nbclient's message on a timeout quotes."
    return message.partition("-------------------\n")[2].partition("\n-------------------")[0] or message

def shown(output):
    "What a reader sees of one output: its text, or the kind of picture."
    if output.output_type == "stream": return output.text
    if output.output_type == "error": return f"{output.ename}: {output.evalue}"
    data = output.data
    if any(kind.startswith("image/") for kind in data): return "[picture]"
    if "text/html" not in data: return str(data.get("text/markdown", data.get("text/plain", "")))
    page = re.sub(r"<img\b[^>]*>|<svg\b.*?</svg>", "[picture]", data["text/html"], flags=re.S)
    return html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.S)))

def text(cell):
    "All that a code cell shows."
    return "\n".join(shown(o) for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr"))

def parts(words):
    "Masked words, and the numbers between them, as texts."
    for pattern, name in MASKS: words = re.sub(pattern, name, words)
    return NUMBER.sub("#", words).split(), NUMBER.findall(words)

def close(a, b):
    "Whole numbers are equal; others differ by at most 2 %, or by one in the last printed place."
    x, y = (float(n.replace(",", "").replace("−", "-")) for n in (a, b))
    if all(re.fullmatch(r"[-+−]?[\d,]+", n) for n in (a, b)): return x == y
    place = max(10.0**-len(re.split("[eE]", n)[0].partition(".")[2]) if "e" not in n.lower() else 0 for n in (a, b))
    return abs(x - y) <= max(RELATIVE*max(abs(x), abs(y)), 1.01*place, TINY)

def same(stored, again):
    "Do two texts say the same, within the tolerances above?"
    (words, numbers), (words2, numbers2) = parts(stored), parts(again)
    return words == words2 and len(numbers) == len(numbers2) and all(map(close, numbers, numbers2))

def shape(cell):
    "How many pictures a code cell shows, and whether it says something."
    words = " ".join(parts(text(cell))[0])
    return words.count("[picture]"), bool(words.replace("[picture]", "").strip())

def real_here():
    "Do all the real sets lie on this machine that the stored pages were made with?"
    from p5_nb.core import find_file
    from p5_nb.data.loaders import SETS
    return all(find_file(f) for name in REAL for f in SETS[name][1])

def differences(stored, again, real=True):
    "(cell number, source, stored text, new text) wherever the stored page shows what the code no longer does; `real`: do the real data lie here?"
    found = []
    for i, (old, new) in enumerate(zip(stored.cells, again.cells)):
        if old.cell_type != "code" or "skip-execution" in new.metadata.get("tags", []): continue
        a, b, tags = text(old), text(new), old.metadata.get("tags", [])
        if not real and ("real" in tags or ("not run" in a) != ("not run" in b)): continue
        if shape(old) != shape(new) if "varies" in tags else not same(a, b): found.append((i, old.source, a, b))
    return found

def told(path, found):
    "Differences as a message: where, what, and what to do."
    short = lambda t, n: t if len(t) <= n else t[:n] + " …"
    lines = [f"{Path(path).name}: {len(found)} cell(s) show what the code no longer does"]
    for i, source, a, b in found:
        lines.append(f"- cell {i}: {short(' ⏎ '.join(source.splitlines()), 160)}")
        for name, these, those in (("stored", a, b), ("now   ", b, a)):
            gone = [line.strip() for line in these.splitlines() if line.strip() and not any(same(line, other) for other in those.splitlines())]
            lines += [f"    {name} {short(' ⏎ '.join(gone) or '(nothing else, or in another order)', 500)}"]
    return "\n".join(lines + ["Store the page again if the new text is right; repair the code if it is not; tag the cell `varies` if its text hangs on the machine or on training, `real` if it hangs on real data."])

def stored_again(path, limit=600):
    "Seconds of a run at the stored parameters, and what differs from the stored page, or nothing."
    import nbformat
    stored = nbformat.read(path, 4)
    again, seconds = play(path, limit)
    found = differences(stored, again, bool(os.environ.get("P5NB_REQUIRE_REAL")) or real_here())
    return seconds, told(path, found) if found else ""

def main(paths):
    "A line or a message for each notebook; the number of those that differ or do not run."
    bad = 0
    for path in paths:
        try: seconds, said = stored_again(path)
        except Trouble as e: seconds, said = 0, str(e)
        bad += bool(said)
        print(said or f"{Path(path).name}: as stored, {seconds:.1f} s", flush=True)
    return bad

if __name__ == "__main__": sys.exit(bool(main(sys.argv[1:])))
