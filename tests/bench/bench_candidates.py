"""Users per second when a hundred candidates are scored by their names: ours beside transformers, same weights, same scores, both sides in one run.

    python tests/bench/bench_candidates.py [users] [threads] [folder for the record]

Text prompts of 90 to 110 source tokens, 100 candidates of 12,101 items whose names have two tokens, fp32, a model of width 128 with 3 + 3 layers and random weights. transformers answers in two ways: one candidate
a row, the source read anew for each (`one by one`), and the source read once, its states repeated for the candidates (`read once`). Ours reads once and computes each beginning of a name once (`score_candidates`).
"""
import os, sys
THREADS = sys.argv[2] if len(sys.argv) > 2 else str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, THREADS)
import json, time
import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput
from bench_beam import batches, both, sources
from p5_nb.core import peak_rss_mb, seed_everything
from p5_nb.index.ids import random_index
from p5_nb.index.trie import shared_words
from p5_nb.predict.beam import score_candidates
from p5_nb.pretrain.t5 import hide
from p5_nb.results import new_record, save_record

N, WORDS = 100, 8_000

def summed(logits, names): return logits.log_softmax(-1).gather(-1, names[..., None])[..., 0].sum(-1)

def one_by_one(model, rows, names):
    found = []
    for (ids, real), name in zip(batches(rows, 1), names):
        logits = model(input_ids=ids.expand(N, -1), attention_mask=real.long().expand(N, -1), labels=name).logits
        found.append(summed(logits, name))
    return torch.stack(found)

def read_once(model, rows, names):
    found = []
    for (ids, real), name in zip(batches(rows, 1), names):
        states = model.encoder(input_ids=ids, attention_mask=real.long()).last_hidden_state.expand(N, -1, -1)
        found.append(summed(model(encoder_outputs=BaseModelOutput(states), attention_mask=real.long().expand(N, -1), labels=name).logits, name))
    return torch.stack(found)

def ours(model, rows, names, size=16):
    return torch.cat([score_candidates(model, model.encode(ids, real), hide(real)[:, None, None], name) for (ids, real), name in zip(batches(rows, size), names.split(size))])

@torch.no_grad()
def main(users=64, folder=None):
    seed_everything(0)
    index, rng = random_index(12_101, seed=0), np.random.default_rng(0)
    words, vocabulary = shared_words(index, WORDS)
    model, published = both(vocabulary)
    asked = sources("text prompts", users, index, WORDS, rng)
    names = words[torch.from_numpy(np.stack([rng.permutation(len(index))[:N] for _ in range(users)]))]
    rate, scores = {}, {}
    for side, score, made in (("one by one", one_by_one, published), ("read once", read_once, published), ("ours", ours, model)):
        score(made, asked[:2], names[:2])                            # warm up
        start = time.perf_counter(); scores[side] = score(made, asked, names)
        rate[side] = users/(time.perf_counter() - start)
    apart = {side: float((scores[side] - scores["one by one"]).abs().max()) for side in ("read once", "ours")}
    for side, r in rate.items(): print(f"{side:12} {r:8.1f} users/s" + (f", scores at most {apart[side]:.1e} apart" if side in apart else ""))
    print(f"ratio {rate['ours']/rate['one by one']:.1f} to one by one, {rate['ours']/rate['read once']:.1f} to read once, {torch.get_num_threads()} threads")
    found = dict(users_per_s={s: round(r, 2) for s, r in rate.items()}, apart=apart)
    print(json.dumps(found))
    if folder:
        said = dict(name="candidates", ours=round(rate["ours"], 1), theirs=round(rate["read once"], 1), ratio=round(rate["ours"]/rate["read once"], 2), summary="users per second, a hundred candidates scored by name; theirs: transformers, the source read once, its states repeated for the candidates")
        save_record(new_record("bench-candidates", "random names", "bench", "candidates", {}, dict(users=users, candidates=N, threads=torch.get_num_threads()), dict(train_seconds=0., predict_seconds=sum(users/r for r in rate.values()), peak_rss_mb=peak_rss_mb()), 0, "full", **said, **found), folder)

if __name__ == "__main__": main(*map(int, sys.argv[1:2]), folder=sys.argv[3] if len(sys.argv) > 3 else None)
