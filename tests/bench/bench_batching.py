"""Padding, and tokens read and answers learned per second, of three ways to make batches from the same purchases of the simulated market, in one run.

    python tests/bench/bench_batching.py [users] [batch_size]

random: one question ("what comes next?") for each purchase, in random order. bucketed: the same questions, with others of their length.
packed: each history read once, with an answer after each purchase. Same model, same loss, gradients included; the packed side has half as many
histories in a batch, as in training. Each side learns each purchase but a user's first exactly once; this is checked before a time counts.
"""
import os, sys
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, "1")
import json, time
import numpy as np
import torch
from p5_nb.core import seed_everything
from p5_nb.data.market import load_market
from p5_nb.data.schema import leave_one_out
from p5_nb.predict.pipeline import MAX_ITEMS, P5
from p5_nb.prompt.mixture import Log, Mixture, collate, target_losses

def shop(users):
    "A model of size `small`, and the mixture of sequential prompts of some users."
    split = leave_one_out(load_market().interactions)
    p5, _ = P5.prepare(split, "small")
    templates, log = [t for t in p5.templates.values() if t.family == "sequential"], Log(split.train[split.train.user < users], users, split.n_items, MAX_ITEMS)
    return p5.model.train(), Mixture(log, templates, p5.words, p5.names, {})

def questions(mixture, number="2-1"):
    "Every purchase as one question, and every history as one reading, as examples of one prompt."
    log, template = mixture.log, next(t for t in mixture.rows if t.number == number)
    ask = lambda user, at, first: log.one_reading(template, user, at, first, mixture.words, mixture.names)
    spans = [(log.user[row], slice(max(log.start[log.user[row]], row - MAX_ITEMS), row + 1)) for row in log.answerable(template)]
    return [ask(user, at, at.stop - at.start - 1) for user, at in spans], [ask(*mixture.windows[i]) for i in mixture.rows[template]]

def cut(examples, order, size): return [[examples[i] for i in order[s:s + size]] for s in range(0, len(order), size)]

def read(model, words, batches):
    "Seconds of loss and gradients for all batches."
    start = time.perf_counter()
    for batch in batches:
        losses = target_losses(model, collate(batch, words))
        losses[~losses.isnan()].mean().backward()
    model.zero_grad()
    return time.perf_counter() - start

def main(users=100, size=64):
    seed_everything(0)
    model, mixture = shop(users)
    alone, packed = questions(mixture)
    rng, by_length = np.random.default_rng(0), lambda examples: np.argsort([len(e.ids) for e in examples], kind="stable")
    batches = {"random": cut(alone, rng.permutation(len(alone)), size), "bucketed": cut(alone, by_length(alone), size), "packed": cut(packed, by_length(packed), size//2)}
    want = sum(max(0, len(s) - 1) for s in mixture.log.sequences())
    for name, side in batches.items(): assert sum(len(e.labels) for batch in side for e in batch) == want, name
    best = dict.fromkeys(batches, np.inf)
    for _ in range(3):                                             # the sides take turns, the best of three counts
        for name, side in batches.items(): best[name] = min(best[name], read(model, len(mixture.words), side))
    rows = {}
    for name, side in batches.items():
        tokens, padded = sum(len(e.ids) for batch in side for e in batch), sum(len(batch)*max(len(e.ids) for e in batch) for batch in side)
        rows[name] = dict(batches=len(side), padding=round(1 - tokens/padded, 3), tokens_per_second=round(tokens/best[name]), answers_per_second=round(want/best[name]))
        print("{:9}{batches:5,} batches, {padding:6.1%} padding, {tokens_per_second:7,} tokens read and {answers_per_second:6,} answers learned a second".format(name, **rows[name]))
    print(json.dumps({"name": "batching-cpu", "answers": want, "threads": 1, **rows}))

if __name__ == "__main__": torch.set_num_threads(1); main(*map(int, sys.argv[1:]))
