"""Seconds to fit the counting models: ours against plain loops over dictionaries and against scikit-learn, in one run.

    python tests/bench/bench_baselines.py [users] [items]

Chain and neighbours are held to the dictionary loops, undecayed neighbours to scikit-learn's sparse cosine similarity,
EASE to one scikit-learn Ridge per item (on 300 items, since that is slow). The answers must agree before a time counts.
"""
import os, sys
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"): os.environ.setdefault(name, "1")
import json, time
from collections import defaultdict
import numpy as np
from scipy import sparse
from p5_nb.baselines.ease import EASE
from p5_nb.baselines.neighbours import ItemKNN, pairs

def log(users, items, seed=0):
    "Sequences of 3 to 30 different items, some items far more popular than others."
    rng = np.random.default_rng(seed)
    draw = lambda n: np.unique((items * rng.random(n)**3).astype(int))
    return [rng.permutation(draw(n)) for n in rng.geometric(.15, users).clip(3, 30)]

def chain_by_dict(sequences, items):
    count = defaultdict(float)
    for s in sequences:
        for a, b in zip(s.tolist(), s[1:].tolist()): count[a, b] += 1
    return count

def knn_by_dict(sequences, items):
    near = defaultdict(float)
    for s in map(np.ndarray.tolist, sequences):
        for x, a in enumerate(s):
            for y in range(x + 1, len(s)):
                near[a, s[y]] += .8**(y - x - 1); near[s[y], a] += .1 * .8**(y - x - 1)
    return near

def cosine(sequences, items):
    from sklearn.metrics.pairwise import cosine_similarity
    rows = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    x = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, np.concatenate(sequences))), (len(sequences), items))
    norm = np.sqrt(np.asarray(x.sum(0)).ravel())
    near = sparse.diags(norm) @ cosine_similarity(x.T, dense_output=False) @ sparse.diags(norm)
    return near - sparse.diags(near.diagonal())

def ridges(sequences, items):
    from sklearn.linear_model import Ridge
    x, w = np.zeros((len(sequences), items), np.float32), np.zeros((items, items))
    for row, s in zip(x, sequences): row[s] = 1
    for j in range(items):
        others = np.delete(np.arange(items), j)
        w[others, j] = Ridge(alpha=20, fit_intercept=False).fit(x[:, others], x[:, j]).coef_
    return w

def as_sparse(m, items):
    if not isinstance(m, dict): return sparse.csr_matrix(m)
    return sparse.csr_matrix((list(m.values()), np.array(list(m)).T), shape=(items, items))

def best(f, times=3):
    "Fewest seconds of a few calls, and the answer."
    seconds = []
    for _ in range(times):
        start = time.perf_counter(); answer = f(); seconds.append(time.perf_counter() - start)
    return min(seconds), answer

def main(users=20_000, items=5_000):
    big, small = log(users, items), log(min(users, 2_000), 300)
    duels = {"markov-fit": (lambda: pairs(big, items), lambda: chain_by_dict(big, items), items, 3),
             "itemknn-fit": (lambda: ItemKNN(.8, .1).fit(big, items).near, lambda: knn_by_dict(big, items), items, 3),
             "itemknn-undecayed-fit": (lambda: ItemKNN(1, 1, 1).fit(big, items).near, lambda: cosine(big, items), items, 3),
             "ease-fit": (lambda: EASE(20).fit(small, 300).weights, lambda: ridges(small, 300), 300, 1)}
    for name, (ours, theirs, n, times) in duels.items():
        (a, x), (b, y) = best(ours), best(theirs, times)
        off = abs(as_sparse(x, n) - as_sparse(y, n)).max()
        assert off < 1e-3 * max(1, abs(x).max()), f"{name}: the answers differ by {off}"
        print(json.dumps({"name": name, "users": len(small if n == 300 else big), "items": n, "threads": 1, "ours": round(a, 4), "theirs": round(b, 4), "ratio": round(b / a, 2)}), flush=True)

if __name__ == "__main__": main(*map(int, sys.argv[1:]))
