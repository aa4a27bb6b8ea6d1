"""Users per second of constrained beam search: ours beside `generate` of transformers, same weights, same lists, both sides in one run.

    python tests/bench/bench_beam.py [users] [threads] [folder for the record] [cpu or cuda]

text prompts: 90 to 110 source tokens of a vocabulary of 8,000 words. bare histories: 1 to 20 items of three tokens each.
12,101 items with names of three tokens, beam 20, 20 items returned, fp32 without TF32, random weights; two sizes: width 64 with 2 + 1 layers (the dial `paper`) and width 128 with 3 + 3.
`generate` gets its mask from a Python function that walks the same trie, a look-up for each beam and step. It runs as it comes, in a process of its own; besides, to see what of the gain is no merit of the
search, in a process for each core, one thread each; and in this process, where our model has told the C library to keep the memory that is freed (`p5_nb.core.keep_memory`). Each side sorts its users by
length and is given the best of several batch sizes, each the best of several rounds. Lists are compared user by user, order included. Two rules of what a probability is a share of: of all words, as `generate` has it
unless it is told otherwise; and "of allowed words" only, for which `generate` is told `renormalize_logits=True`, a rule under which our side need not look at the other words at all. Beside the rates: the products that each side computes (MFLOP a user), and their rate
as a share of what products of 2048 × 2048 reach on the machine. That share bounds what a search with the same lists can gain: both must compute in fp32.
"""
import os, sys
THREADS = sys.argv[2] if len(sys.argv) > 2 else str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, THREADS)
import multiprocessing, tempfile, time
from functools import lru_cache, partial
from itertools import product
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5ForConditionalGeneration
from p5_nb.core import matmul_seconds, peak_rss_mb, seed_everything
from p5_nb.index.ids import random_index
from p5_nb.index.trie import build_trie, walk
from p5_nb.predict.beam import beam_search
from p5_nb.pretrain.backbone import save_t5
from p5_nb.pretrain.packed import pad
from p5_nb.pretrain.t5 import T5, T5Config, hide
from p5_nb.results import new_record, save_record

LEVELS, BEAMS = 3, 20
SIZES = {"64 wide, 2 + 1 layers": (64, 16, 2, 1), "128 wide, 3 + 3 layers": (128, 32, 3, 3)}
BATCHES = {"cpu": dict(generate=(16, 64), ours=(32, 64, 128)), "cuda": dict(generate=(64, 256), ours=(256, 1024, 4096))}
ROUNDS = {"cpu": 3, "cuda": 2}
RULES = {"": False, ", of allowed words": True}

def allowed_log_probs(model, trie, hidden, level, node, first, size):
    "Log-probabilities among the words that the trie allows."
    return model.scores(hidden, slice(first, first + size)).masked_fill(trie.children[level][node] < 0, -torch.inf).log_softmax(-1)

def fresh(folder, vocabulary, d, d_kv, layers, decoder_layers):
    "Our model with random weights, which are also left in a folder."
    model = T5(T5Config(vocabulary, d, d_kv, 4*d, layers, decoder_layers, 4)).eval()
    with torch.no_grad(): model.shared.weight.mul_(2)                # random weights are nearly uniform otherwise, and ties would decide
    save_t5(model, folder)
    return model

@lru_cache(1)
def published(folder, device): return T5ForConditionalGeneration.from_pretrained(folder).eval().to(device)

def sources(kind, users, index, first, rng):
    "Token numbers of each user's question, shortest first."
    if kind == "text prompts": rows = [rng.integers(2, first, rng.integers(90, 111)) for _ in range(users)]
    else: rows = [(index.codes[rng.integers(len(index), size=min(20, 1 + rng.geometric(.13)))] + first + np.cumsum([0, *index.sizes[:-1]])).ravel() for _ in range(users)]
    return sorted(rows, key=len)

def batches(rows, size, device):
    for start in range(0, len(rows), size):
        ids = pad(rows[start:start + size], 0).to(device)
        yield ids, ids > 0

def ours(model, rows, size, trie, offsets, renormalise):
    rule = partial(allowed_log_probs, model, trie) if renormalise else None
    found = [beam_search(model, model.encode(ids, real), hide(real)[:, None, None], trie, offsets, BEAMS, log_probs=rule) for ids, real in batches(rows, size, model.shared.weight.device)]
    return torch.cat([items for items, _ in found]).cpu(), torch.cat([score for _, score in found]).cpu()

@torch.no_grad()
def theirs(folder, device, rows, size, trie, offsets, renormalise):
    model = published(folder, device)
    @lru_cache(None)
    def follow(begun):
        node = 0
        for level, token in enumerate(begun): node = trie.children[level][node, token - offsets[level]]
        return ((trie.children[len(begun)][node] >= 0).nonzero()[:, 0] + offsets[len(begun)]).tolist()
    found = [model.generate(ids, attention_mask=real.long(), max_new_tokens=LEVELS, num_beams=BEAMS, num_return_sequences=BEAMS, length_penalty=0., renormalize_logits=renormalise, output_scores=True, return_dict_in_generate=True,
                            prefix_allowed_tokens_fn=lambda _, begun: follow(tuple(begun[1:].tolist()))) for ids, real in batches(rows, size, model.device)]
    return walk(trie, torch.cat([f.sequences[:, 1:1 + LEVELS].cpu() for f in found]) - torch.tensor(offsets)).view(len(rows), BEAMS), torch.cat([f.sequences_scores.cpu() for f in found]).view(len(rows), BEAMS)

def seconds(search, model, *args):
    "Seconds that a search takes, and what it finds."
    if search is theirs: published(model, args[0])                   # read the weights before
    start = time.perf_counter(); found = search(model, *args)
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter() - start, found

def serve(pipe):
    "A process that searches with `generate`: told the number of threads and what to search for, until told nothing."
    while job := pipe.recv():
        torch.set_num_threads(job[0])
        pipe.send(seconds(theirs, *job[1:]))

def by_processes(pipes, threads, folder, device, rows, *args):
    "Users dealt out to processes; the seconds until all are done, and the lists."
    start = time.perf_counter()
    for i, pipe in enumerate(pipes): pipe.send((threads, folder, device, rows[i::len(pipes)], *args))
    found = [pipe.recv()[1] for pipe in pipes]
    took = time.perf_counter() - start
    items, scores = (torch.empty(len(rows), BEAMS, dtype=f.dtype) for f in found[0])
    for i, (some, score) in enumerate(found): items[i::len(pipes)], scores[i::len(pipes)] = some, score
    return took, (items, scores)

def best_products(device): return 2*2048**3/min(matmul_seconds(torch.float32, device, (2048,)*3) for _ in range(10))

def compare(kind, size, rule, users, device, index, rng, pipes):
    "Both sides on one kind of question, one size of model and one rule."
    first = 8_000 if kind == "text prompts" else 2
    offsets = [first + int(n) for n in np.cumsum([0, *index.sizes[:-1]])]
    asked, trie, rate, products, found = sources(kind, users, index, first, rng), build_trie(index), {}, {}, {}
    some = asked if device == "cpu" else asked[::max(1, users//512)]         # where generate is slow, it is asked for fewer users of the same lengths
    with tempfile.TemporaryDirectory() as folder:
        model = fresh(folder, first + sum(index.sizes), *SIZES[size]).to(device)
        wide, told = trie.to(device), (offsets, RULES[rule])
        sides = {"generate": (lambda *a: by_processes(pipes[:1], len(pipes), folder, device, *a, trie, *told), some),
                 "generate, a process a core": (lambda *a: by_processes(pipes, 1, folder, device, *a, trie, *told), some),
                 "generate, memory kept": (lambda *a: seconds(theirs, folder, device, *a, trie, *told), some),
                 "ours": (lambda *a: seconds(ours, model, *a, wide, *told), asked)}
        if device == "cuda" or RULES[rule]: sides = {side: sides[side] for side in ("generate", "ours")}
        for side, (search, rows) in sides.items():
            _, found[side] = search(some, BATCHES[device][side.split(",")[0]][0])          # also warms up
        for side, search, made in (("generate", theirs, (folder, device)), ("ours", ours, (model,))):
            with FlopCounterMode(display=False) as counter: search(*made, some, 64, trie if side == "generate" else wide, *told)
            products[side] = counter.get_total_flops()/len(some)/1e6
        for _ in range(ROUNDS[device]):
            for side, (search, rows) in sides.items():
                for batch in BATCHES[device][side.split(",")[0]]:
                    if batch > len(rows): continue
                    took, _ = search(rows, batch)
                    rate[side, batch] = max(rate.get((side, batch), 0), len(rows)/took)
    same = min((found["ours"][0] == found[side][0]).all(1).float().mean().item() for side in sides)
    best = {side: max(r for (s, _), r in rate.items() if s == side) for side in sides}
    row = dict(tokens=round(float(np.mean([len(r) for r in asked])), 1), same_lists=same, compared=len(some), largest_difference=float((found["ours"][1] - found["generate"][1]).abs().max()),
               users_per_s={f"{side}, batch {batch}": round(r, 1) for (side, batch), r in rate.items()}, ratio_best=round(best["ours"]/best["generate"], 2), ratios={side: round(best["ours"]/best[side], 2) for side in sides if side != "ours"},
               mflop_per_user={side: round(p, 1) for side, p in products.items()})
    print(f"{kind}, {size}{rule}: {row['tokens']} tokens, the same lists for {same:.1%} of {len(some)} users, scores at most {row['largest_difference']:.1e} apart")
    for (side, batch), r in rate.items(): print(f"  {side:26} batch {batch:4}  {r:10.1f} users/s")
    print(f"  ratios, best against best: {row['ratios']}; MFLOP a user {row['mflop_per_user']}")
    return row

@torch.no_grad()
def main(users=256, folder=None, device="cpu"):
    seed_everything(0); begun = time.perf_counter()
    index, rng = random_index(12_101, levels=LEVELS, seed=0), np.random.default_rng(0)
    where = torch.cuda.get_device_name(0) if device == "cuda" else f"{torch.get_num_threads()} threads"
    print(where)
    spawn, pipes = multiprocessing.get_context("spawn"), []
    for _ in range(torch.get_num_threads()):                         # no pool: the threads that keep one would slow down this process
        ours_end, end = spawn.Pipe(); pipes.append(ours_end)
        spawn.Process(target=serve, args=(end,), daemon=True).start()
    rows, peak = {}, best_products(device)
    for kind, size, rule in product(("text prompts", "bare histories"), SIZES, RULES):
        rows[f"{kind}, {size}{rule}"], peak = compare(kind, size, rule, users, device, index, rng, pipes), max(peak, best_products(device))      # the best that is met
    for pipe in pipes: pipe.send(None)
    for row in rows.values(): row["share_of_peak"] = {side: round(max(r for name, r in row["users_per_s"].items() if name.startswith(f"{side}, batch"))*p*1e6/peak, 3) for side, p in row["mflop_per_user"].items()}
    print(f"share of the rate of products of 2048 × 2048 in fp32, {peak/1e9:,.0f} GFLOP/s:")
    for name, row in rows.items(): print(f"  {name:40} {row['share_of_peak']}")
    if folder:
        text = rows["text prompts, 128 wide, 3 + 3 layers"]
        best = {side: max(r for s, r in text["users_per_s"].items() if s.startswith(f"{side}, batch")) for side in ("ours", "generate")}
        said = dict(name=f"beam-search-{device}", ours=best["ours"], theirs=best["generate"], ratio=text["ratio_best"], summary=f"users per second, beam {BEAMS}, prompts of about 100 tokens, 128 wide, 3 + 3 layers, the same lists; theirs: generate with prefix_allowed_tokens_fn, in a process of its own, the best batch size")
        save_record(new_record(f"bench-beam-{device}", "random names", "bench", "beam search", {}, dict(users=users, beams=BEAMS, levels=LEVELS, threads=torch.get_num_threads(), gflops=round(peak/1e9)), dict(train_seconds=0., predict_seconds=time.perf_counter() - begun, peak_rss_mb=peak_rss_mb()), 0, "full", rows=rows, **said), folder)

if __name__ == "__main__": main(*map(int, sys.argv[1:2]), folder=sys.argv[3] if len(sys.argv) > 3 else None, device=sys.argv[4] if len(sys.argv) > 4 else "cpu")
