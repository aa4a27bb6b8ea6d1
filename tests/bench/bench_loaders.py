"""Memory and seconds of loading Sports: the sequence file alone, and with its id map, texts and attributes joined.

    python tests/bench/bench_loaders.py [--save]

Each side runs in a fresh process. It first loads a file of two lines, so that libraries are in memory before the count begins;
the peak is the largest resident memory above that. With --save the figures become the run record `loader-memory-sports`.
"""
import json, os, subprocess, sys, tempfile, time
from pathlib import Path
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, "1")
from p5_nb.core import find_file

SEQUENCES = ["amazon14_sequences/Sports_and_Outdoors.txt"]
JOINED = SEQUENCES + ["amazon14_idmaps/sports/datamaps.json", "amazon14_item_text/Sports.txt", "amazon14_sequences/Sports_and_Outdoors_item2attributes.json"]

def resident(field):
    "MB of resident memory now (VmRSS) or at most (VmHWM)."
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status", encoding="utf-8") if line.startswith(field))

def measure(paths):
    "Load once in this process; files, peak and table in MB, and seconds."
    from p5_nb.data.loaders import sequences
    with tempfile.TemporaryDirectory() as d:
        small = [Path(d)/Path(p).name for p in paths]
        for p, text in zip(small, ["1 1 2\n2 2 1\n", '{"id2item": {"1": "A", "2": "B"}, "id2attribute": {"1": "x"}}', "A one\nB two\n", '{"1": [1]}']): p.write_text(text)
        sequences(*small)
    start = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")                   # forget the peak so far
    begin = time.perf_counter()
    log = sequences(*paths)
    seconds, peak = time.perf_counter() - begin, resident("VmHWM") - start
    mb = sum(Path(p).stat().st_size for p in paths) / 2**20
    return dict(rows=len(log), file_mb=round(mb, 2), peak_mb=round(peak, 1), table_mb=round(log.df.memory_usage().sum() / 2**20, 1), ratio=round(peak / mb, 1), seconds=round(seconds, 2))

def main(save=False):
    sides = {}
    for side, names in {"sequences": SEQUENCES, "joined": JOINED}.items():
        paths = [find_file(n) for n in names]
        if None in paths: return print(f"not run: {names[paths.index(None)]} is not on this machine")
        run = subprocess.run([sys.executable, __file__, "--measure", *map(str, paths)], capture_output=True, text=True, check=True)
        sides[side] = m = json.loads(run.stdout.splitlines()[-1])
        print(f"{side:10} {m['file_mb']:6.2f} MB of files  peak {m['peak_mb']:6.1f} MB  ratio {m['ratio']:5.1f}  {m['seconds']:.2f} s  {m['rows']:,} rows")
    if save: save_sides(sides)

def save_sides(sides):
    "Write the run record."
    from p5_nb.results import new_record, save_record
    a, b = sides["sequences"], sides["joined"]
    summary = (f"Sports: the sequence file of {a['file_mb']} MB is loaded with a peak of {a['peak_mb']} MB above the libraries, {a['ratio']} times the file, in about {a['seconds']:.1f} s; "
               f"with its id map, texts and attributes ({b['file_mb']} MB) the peak is {b['peak_mb']} MB, {b['ratio']} times the files, in about {b['seconds']:.1f} s.")
    record = new_record("bench-loader-memory-sports", "amazon14-sports", "bench", "loaders", {}, dict(process="fresh", counted="peak resident memory above that after a file of two lines"),
                        dict(train_seconds=0, predict_seconds=a["seconds"], peak_rss_mb=a["peak_mb"]), 0, "full", name="loader-memory-sports",
                        ours=a["ratio"], theirs=None, ratio=None, sides=sides, summary=summary)
    print(save_record(record))

if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]: print(json.dumps(measure(sys.argv[2:])))
    else: main("--save" in sys.argv)
