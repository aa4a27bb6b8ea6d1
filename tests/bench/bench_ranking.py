"""Users per second of full-catalogue ranking: ours against ranx and against a plain argsort loop, on the same scores in one run.

    python tests/bench/bench_ranking.py [users] [items]

Each side turns scores into hit@10, ndcg@10 and mrr@10. Ours and argsort start from the same score blocks; ranx is given the
best 100 items of each user, since a dictionary of the whole catalogue does not fit, and making that list is counted,
as is building its Run. All three must agree to 1e-9 on scores without ties.
"""
import os, sys
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"): os.environ.setdefault(name, "1")
import json, time
import numpy as np
from p5_nb.measure.ranking import rank_measures, target_ranks

def ours(score, targets): return rank_measures(target_ranks(score, targets), ks=[10])

def blocks(score, n, size=512):
    for a in range(0, n, size): yield a, score(slice(a, min(a + size, n)))

def argsort(score, targets):
    ranks = [1 + int(np.flatnonzero(np.argsort(-row) == targets[a + i])[0]) for a, s in blocks(score, len(targets)) for i, row in enumerate(s)]
    return rank_measures(ranks, ks=[10])

def best_100(score, n):
    for _, s in blocks(score, n):
        part = np.argpartition(-s, 100, axis=1)[:, :100]
        yield from zip(part, np.take_along_axis(s, part, 1))

def ranx_way(score, targets):
    import ranx
    names = [f"u{u}" for u in range(len(targets))]
    qrels = ranx.Qrels({n: {f"i{t}": 1} for n, t in zip(names, targets)})
    run = ranx.Run({n: {f"i{i}": x for i, x in zip(ids, s)} for n, (ids, s) in zip(names, best_100(score, len(targets)))})
    return ranx.evaluate(qrels, run, ["hit_rate@10", "ndcg@10", "mrr@10"])

def main(users=2000, items=12_101):
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(users, 16)), rng.normal(size=(items, 16))
    score, targets = lambda rows: u[rows] @ v.T, rng.integers(0, items, users)
    sides = {"ours": ours, "argsort": argsort}
    try: import ranx; sides["ranx"] = ranx_way; ranx_way(lambda rows: u[rows] @ v[:200].T, targets[:50] % 200)   # compile first
    except ImportError: print("ranx is not installed: left out")
    best, got = dict.fromkeys(sides, float("inf")), {}
    for _ in range(3):                                              # the sides take turns, the best of three counts
        for name, f in sides.items():
            start = time.perf_counter(); got[name] = list(f(score, targets).values())
            best[name] = min(best[name], time.perf_counter() - start)
    for name in sides: np.testing.assert_allclose(got[name], got["ours"], rtol=0, atol=1e-9)
    speed = {name: users / s for name, s in best.items()}
    for name, s in speed.items(): print(f"{name:8} {s:10,.0f} users/second   ours is {speed['ours'] / s:.1f} times as fast")
    print(json.dumps({"name": "ranking-cpu", "users": users, "items": items, "threads": 1, **{k: round(s) for k, s in speed.items()}}))

if __name__ == "__main__": main(*map(int, sys.argv[1:]))
