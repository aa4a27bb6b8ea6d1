"""What the mask of a trie costs for 64 users with 20 beams each, from ten thousand to ten million items: milliseconds a step, seconds to build, megabytes.

    python tests/bench/bench_trie.py [most items] [folder for the record] [cpu or cuda]

Names are four random tokens out of 256. ours: one look-up for all beams of a level, and the test whether everything behind a node is forbidden (20 items a user); on a GPU also both as a
recorded graph of operations, which leaves out the time that Python takes to launch them. python: a look-up in nested dictionaries for each beam, as a prefix_allowed_tokens_fn makes it, up to
a million items, on the processor. Both sides must name the same tokens.
"""
import os, sys
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, "1")
import gc, time, tracemalloc
import numpy as np
import torch
from p5_nb.core import peak_rss_mb
from p5_nb.index.ids import ItemIndex
from p5_nb.index.trie import SparseTable, build_trie
from p5_nb.predict.beam import closed
from p5_nb.results import new_record, save_record

USERS, BEAMS, LEVELS, TOKENS = 64, 20, 4, 256

def names(n, rng):
    keys = np.unique(rng.integers(TOKENS**LEVELS, size=n + n//20 + 100))
    return ItemIndex(np.stack(np.unravel_index(rng.permutation(keys)[:n], (TOKENS,)*LEVELS), 1), (TOKENS,)*LEVELS, "random")

def best(work, times=15, device="cpu"):
    "Milliseconds of the best of some calls; on a GPU of ten at once, so that the wait for the end counts little."
    work()
    took, n = [], 10 if device == "cuda" else 1
    for _ in range(times):
        if device == "cuda": torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(n): work()
        if device == "cuda": torch.cuda.synchronize()
        took.append((time.perf_counter() - start)/n)
    return 1000*min(took)

def recorded(work):
    "The same operations as one CUDA graph."
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.cuda.stream(side): work()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph): work()
    return graph.replay

def bytes_of(trie):
    parts = [t for table in trie.children for t in ((table.start, table.token, table.child) if isinstance(table, SparseTable) else (table,))]
    return sum(p.numel()*p.element_size() for p in [*parts, *trie.under, *trie.sizes, trie.codes])

def nested(codes):
    tree = {}
    for code in codes.tolist():
        node = tree
        for token in code: node = node.setdefault(token, {})
    return tree

def measure(n, rng, device="cpu"):
    index = names(n, rng)
    start = time.perf_counter(); trie = build_trie(index); built = time.perf_counter() - start
    trie = trie.to(device)
    beams = rng.integers(n, size=(USERS, BEAMS))                             # each beam is on the way to some item
    forbidden = torch.from_numpy(np.sort(rng.integers(n, size=(USERS, 20)))).to(device)
    nodes = [torch.zeros(USERS, BEAMS, dtype=torch.long, device=device), *(u[torch.from_numpy(beams).to(device)] for u in trie.under[:-1])]
    look_up = lambda t, node: t.candidates(node) if isinstance(t, SparseTable) else t[node]           # as the search does
    row = dict(items=n, build_s=round(built, 2), mb=round(bytes_of(trie)/2**20, 1), look_up_ms=[round(best(lambda: look_up(t, node), device=device), 4) for t, node in zip(trie.children, nodes)],
               closed_ms=[round(best(lambda: closed(trie, level, node, forbidden), device=device), 4) for level, node in enumerate(nodes)])
    if device == "cuda":
        row["graph_look_up_ms"] = [round(best(recorded(lambda: look_up(t, node)), device=device), 4) for t, node in zip(trie.children, nodes)]
        row["graph_closed_ms"] = [round(best(recorded(lambda: closed(trie, level, node, forbidden)), device=device), 4) for level, node in enumerate(nodes)]
    if n <= (10**6 if device == "cpu" else 10**5):
        gc.collect(); tracemalloc.start()
        start = time.perf_counter(); tree = nested(index.codes); row["python_build_s"] = round(time.perf_counter() - start, 2)
        row["python_mb"] = round(tracemalloc.get_traced_memory()[0]/2**20, 1); tracemalloc.stop()
        def follow(level):
            out = []
            for item in beams.ravel():
                node = tree
                for token in index.codes[item, :level].tolist(): node = node[token]
                out.append(list(node))
            return out
        for level, (table, node) in enumerate(zip(trie.children, nodes)):
            for mine, theirs in zip((table[node] >= 0).flatten(0, 1).cpu(), follow(level)): assert mine.nonzero()[:, 0].tolist() == sorted(theirs)
        row["python_ms"] = [round(best(lambda: follow(level), 3), 3) for level in range(LEVELS)]
    return row

def main(most=10**7, folder=None, device="cpu"):
    torch.set_num_threads(1)
    start, rows = time.perf_counter(), []
    for n in (10**4, 10**5, 10**6, 10**7):
        if n > most: break
        rows.append(row := measure(n, np.random.default_rng(0), device))
        print(f"{n:11,} items: built in {row['build_s']:6.2f} s, {row['mb']:8.1f} MB; look-up {' '.join(f'{ms:6.2f}' for ms in row['look_up_ms'])} ms, forbidden {' '.join(f'{ms:6.2f}' for ms in row['closed_ms'])} ms"
              + (f"; python {' '.join(f'{ms:6.1f}' for ms in row['python_ms'])} ms, {row['python_mb']:.0f} MB" if "python_ms" in row else ""))
    if folder:
        both = [r for r in rows if "python_ms" in r][-1]
        ours, theirs = (sum(both[k]) for k in ("look_up_ms", "python_ms"))
        said = dict(name="trie-mask" + ("-cuda" if device == "cuda" else ""), ours=round(ours, 3), theirs=round(theirs, 3), ratio=round(theirs/ours, 2), summary=f"milliseconds for the masks of four tokens, {USERS} users with {BEAMS} beams, {both['items']:,} items; theirs: nested dictionaries")
        save_record(new_record("bench-trie" + ("-cuda" if device == "cuda" else ""), "random names", "bench", "trie", {}, dict(users=USERS, beams=BEAMS, levels=LEVELS, tokens=TOKENS, threads=1, counted="best of 15 calls"),
                               dict(train_seconds=0., predict_seconds=time.perf_counter() - start, peak_rss_mb=peak_rss_mb()), 0, "full", rows=rows, **said), folder)

if __name__ == "__main__": main(*(f(x) for f, x in zip((lambda x: int(float(x)), str, str), sys.argv[1:])))
