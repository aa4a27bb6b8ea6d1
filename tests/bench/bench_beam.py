"""Users per second of constrained beam search: ours beside `generate` of transformers, same weights, same lists, both sides in one run.

    python tests/bench/bench_beam.py [users] [threads] [folder for the record]

text prompts: 90 to 110 source tokens of a vocabulary of 8,000 words. bare histories: 1 to 20 items of three tokens each.
12,101 items with names of three tokens, beam 20, 20 items returned, fp32, a model of width 128 with 3 + 3 layers and random weights.
`generate` gets its mask from a Python function that walks the same trie, a look-up for each beam and step. Each side sorts its users by length and
is given the better of several batch sizes. Lists are compared user by user, order included.
"""
import os, sys
THREADS = sys.argv[2] if len(sys.argv) > 2 else str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, THREADS)
import json, tempfile, time
from functools import lru_cache
import numpy as np
import torch
from transformers import T5ForConditionalGeneration
from p5_nb.core import peak_rss_mb, seed_everything
from p5_nb.index.ids import random_index
from p5_nb.index.trie import build_trie, walk
from p5_nb.predict.beam import beam_search
from p5_nb.pretrain.backbone import save_t5
from p5_nb.pretrain.packed import pad
from p5_nb.pretrain.t5 import T5, T5Config, hide
from p5_nb.results import new_record, save_record

LEVELS, BEAMS = 3, 20

def both(vocabulary):
    "The same random weights twice: ours, theirs."
    model = T5(T5Config(vocabulary, 128, 32, 512, 3, 3, 4)).eval()
    with torch.no_grad(): model.shared.weight.mul_(2)                # random weights are nearly uniform otherwise, and ties would decide
    with tempfile.TemporaryDirectory() as folder:
        save_t5(model, folder)
        return model, T5ForConditionalGeneration.from_pretrained(folder).eval()

def sources(kind, users, index, first, rng):
    "Token numbers of each user's question, shortest first."
    if kind == "text prompts": rows = [rng.integers(2, first, rng.integers(90, 111)) for _ in range(users)]
    else: rows = [(index.codes[rng.integers(len(index), size=min(20, 1 + rng.geometric(.13)))] + first + np.cumsum([0, *index.sizes[:-1]])).ravel() for _ in range(users)]
    return sorted(rows, key=len)

def batches(rows, size):
    for start in range(0, len(rows), size):
        ids = pad(rows[start:start + size], 0)
        yield ids, ids > 0

def ours(model, rows, size, trie, offsets):
    found = [beam_search(model, model.encode(ids, real), hide(real)[:, None, None], trie, offsets, BEAMS) for ids, real in batches(rows, size)]
    return torch.cat([items for items, _ in found]), torch.cat([score for _, score in found])

def theirs(model, rows, size, trie, offsets):
    @lru_cache(None)
    def follow(begun):
        node = 0
        for level, token in enumerate(begun): node = trie.children[level][node, token - offsets[level]]
        return ((trie.children[len(begun)][node] >= 0).nonzero()[:, 0] + offsets[len(begun)]).tolist()
    found = [model.generate(ids, attention_mask=real.long(), max_new_tokens=LEVELS, num_beams=BEAMS, num_return_sequences=BEAMS, length_penalty=0., output_scores=True, return_dict_in_generate=True,
                            prefix_allowed_tokens_fn=lambda _, begun: follow(tuple(begun[1:].tolist()))) for ids, real in batches(rows, size)]
    return walk(trie, torch.cat([f.sequences[:, 1:1 + LEVELS] for f in found]) - torch.tensor(offsets)).view(len(rows), BEAMS), torch.cat([f.sequences_scores for f in found]).view(len(rows), BEAMS)

@torch.no_grad()
def main(users=256, folder=None):
    seed_everything(0); begun = time.perf_counter()
    index, rng, rows = random_index(12_101, levels=LEVELS, seed=0), np.random.default_rng(0), {}
    trie = build_trie(index)
    for kind, first in (("text prompts", 8_000), ("bare histories", 2)):
        offsets = [first + int(n) for n in np.cumsum([0, *index.sizes[:-1]])]
        model, published = both(first + sum(index.sizes))
        asked, found, rate = sources(kind, users, index, first, rng), {}, {}
        for side, search, made, sizes in (("generate", theirs, published, (16, 64)), ("ours", ours, model, (32, 64, 256))):
            search(made, asked[:8], 8, trie, offsets)                # warm up
            for size in sizes:
                start = time.perf_counter(); found[side] = search(made, asked, size, trie, offsets)
                rate[side, size] = users/(time.perf_counter() - start)
        same = (found["ours"][0] == found["generate"][0]).all(1).float().mean().item()
        best = {side: max((r, size) for (s, size), r in rate.items() if s == side) for side in found}
        rows[kind] = dict(tokens=round(float(np.mean([len(r) for r in asked])), 1), same_lists=same, largest_difference=float((found["ours"][1] - found["generate"][1]).abs().max()),
                          users_per_s={f"{side}, batch {size}": round(r, 1) for (side, size), r in rate.items()}, ratio_best=round(best["ours"][0]/best["generate"][0], 2), ratio_batch_64=round(rate["ours", 64]/rate["generate", 64], 2))
        print(f"{kind}: {rows[kind]['tokens']} tokens, the same lists for {same:.1%} of {users} users, scores at most {rows[kind]['largest_difference']:.1e} apart")
        for (side, size), r in rate.items(): print(f"  {side:9} batch {size:4}  {r:8.1f} users/s")
        print(f"  ratio {rows[kind]['ratio_best']} (best against best), {rows[kind]['ratio_batch_64']} (batch 64 against batch 64), {torch.get_num_threads()} threads")
    print(json.dumps(rows))
    if folder:
        best = {side: max(r for s, r in rows["text prompts"]["users_per_s"].items() if s.startswith(side)) for side in ("ours", "generate")}
        said = dict(name="beam-search", ours=best["ours"], theirs=best["generate"], ratio=rows["text prompts"]["ratio_best"], summary=f"users per second, beam {BEAMS}, prompts of about 100 tokens, the same lists; theirs: generate with prefix_allowed_tokens_fn, the better batch size")
        save_record(new_record("bench-beam", "random names", "bench", "beam search", {}, dict(users=users, beams=BEAMS, levels=LEVELS, threads=torch.get_num_threads()), dict(train_seconds=0., predict_seconds=time.perf_counter() - begun, peak_rss_mb=peak_rss_mb()), 0, "full", rows=rows, **said), folder)

if __name__ == "__main__": main(*map(int, sys.argv[1:2]), folder=sys.argv[3] if len(sys.argv) > 3 else None)
