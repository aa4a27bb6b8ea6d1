"""Targets per second of training: ours, all targets of a history in one pass, beside a `Seq2SeqTrainer` loop with one target a row. Same sizes, same histories, both sides in one run.

    python tests/bench/bench_train.py [users] [threads] [folder for the record]

Random histories, as long as the training parts of Beauty's, over 12,101 items whose names are two tokens that all names share; the sizes of the dials `small` and `full` of `p5_nb.predict.sequential`.
`Seq2SeqTrainer` reads a history as text: the tokens of up to 20 names and an end; it learns to write a name and an end. Rows of like length share a batch; the better of two batch sizes counts, in
fp32 and, where the machine is quick at it, in bf16. Ours reads an item as one word and answers every "what next?" of a history in one pass; `ours, one target a row` shows what that is worth alone.
A target counts once a pass. The first steps, and the trial of threads and precision, are not timed. Needs `accelerate` beside transformers.
"""
import os, sys
THREADS = sys.argv[2] if len(sys.argv) > 2 else str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.setdefault(name, THREADS)
import json, tempfile, time
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, T5ForConditionalGeneration, TrainerCallback
from transformers import T5Config as Published
from p5_nb.core import fast_bf16, matmul_seconds, peak_rss_mb, seed_everything
from p5_nb.index.ids import random_index
from p5_nb.index.trie import shared_words
from p5_nb.learner import Learner
from p5_nb.predict.sequential import PRESETS
from p5_nb.pretrain.packed import ItemT5, length_batches, pad, windows
from p5_nb.pretrain.t5 import T5Config
from p5_nb.results import new_record, save_record

SIZES = {dial: {k: p[k] for k in ("d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers")} | dict(num_heads=p["d_model"]//p["d_kv"], dropout_rate=p["dropout"]) for dial, p in PRESETS.items()}
ITEMS, SECONDS, BUDGET = 12_101, 20, 512

class Clock(TrainerCallback):
    "Times the steps after the third, and stops after so many seconds."
    steps, spent, start = 0, 0., None
    def on_step_end(self, args, state, control, **_):
        if self.start is None and state.global_step == 3: self.start = time.perf_counter()
        elif self.start: self.steps, self.spent = self.steps + 1, time.perf_counter() - self.start
        control.should_training_stop = self.spent > SECONDS

def collate(rows):
    "Questions and answers as rectangles."
    ids = pad([r["input_ids"] for r in rows], 0)
    return dict(input_ids=ids, attention_mask=(ids > 0).long(), labels=pad([r["labels"] for r in rows], -100))

def theirs(dial, vocabulary, words, sequences, batch, bf16):
    "Targets per second of `Seq2SeqTrainer`, one target a row."
    rows = [dict(input_ids=np.append(words[s[max(0, n - 20):n]].ravel(), 1), labels=np.append(words[s[n]], 1)) for s in sequences for n in range(1, len(s))]
    for row in rows: row["length"] = len(row["input_ids"])
    seed_everything(0)
    model, clock = T5ForConditionalGeneration(Published(vocab_size=vocabulary, decoder_start_token_id=0, **SIZES[dial])), Clock()
    with tempfile.TemporaryDirectory() as folder:
        args = Seq2SeqTrainingArguments(folder, per_device_train_batch_size=batch, num_train_epochs=100, learning_rate=2e-3, optim="adamw_torch_fused", train_sampling_strategy="group_by_length",
                                        length_column_name="length", bf16=bf16, logging_strategy="no", save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, remove_unused_columns=False)
        trainer = Seq2SeqTrainer(model, args, train_dataset=rows, data_collator=collate, callbacks=[clock])
        trainer.train()
    return clock.steps*batch/clock.spent

def ours(dial, vocabulary, words, sequences, together, epochs=10):
    "Targets per second of `Learner`, which chooses threads and precision by trying; FLOPs per target, forward and back."
    seed_everything(0)
    model = ItemT5(T5Config(vocabulary, **SIZES[dial]), torch.from_numpy(words))
    pieces = windows(sequences) if together else [(s[max(0, n - 20):n + 1], min(n, 20)) for s in sequences for n in range(1, len(s))]
    lengths, first = np.array([len(items) - 1 for items, _ in pieces]), torch.tensor([f for _, f in pieces])
    def loss(model, rows): return model.next_item_loss(pad([pieces[i][0] for i in rows]), first[rows])
    batches = length_batches(lengths, BUDGET if together else 8*BUDGET, np.random.default_rng(0))
    with FlopCounterMode(display=False) as counter: loss(model, batches[0]).backward()
    flops = counter.get_total_flops()/sum(int(lengths[i] + 1 - first[i]) for i in batches[0])
    model.zero_grad()
    learner = Learner(model, loss, lambda epoch: batches, epochs if together else 1, accumulate=2, abreast=True).fit()
    return learner.epochs*sum(int(lengths[i] + 1 - first[i]) for b in batches for i in b)/learner.seconds, flops, dict(threads=learner.threads, side_by_side=learner.workers, bf16=bool(learner.bf16))

def compare(dial, words, vocabulary, sequences, peak):
    "Both sides on one size of model."
    rate = {}
    for precision in ("fp32", "bf16")[:1 + fast_bf16()]:
        for batch in (64, 256): rate[f"Seq2SeqTrainer, {precision}, {batch} rows"] = theirs(dial, vocabulary, words, sequences, batch, precision == "bf16")
    rate["ours, one target a row"], *_ = ours(dial, vocabulary, words, sequences[:len(sequences)//2], False)
    rate["ours"], flops, way = ours(dial, vocabulary, words, sequences, True)
    ratio = rate["ours"]/max(r for name, r in rate.items() if name.startswith("Seq2Seq"))
    print(f"dial {dial}; ours: {way['threads']} thread(s), {way['side_by_side']} batch(es) side by side, {'bf16' if way['bf16'] else 'fp32'}")
    for name, r in rate.items(): print(f"  {name:36} {r:9,.0f} targets/s")
    print(f"  ratio {ratio:.1f}; ours computes {flops/1e6:.1f} MFLOP a target, {flops*rate['ours']/1e9:.0f} GFLOP/s")
    for name, p in peak.items(): print(f"    {flops*rate['ours']/p:.0%} of the {p/1e9:.0f} GFLOP/s that {name} products of 2048 × 2048 reach here")
    return way | dict(targets_per_s={n: round(r) for n, r in rate.items()}, ratio=round(ratio, 2), mflop_per_target=round(flops/1e6, 1), share_of_peak={n: round(flops*rate["ours"]/p, 3) for n, p in peak.items()})

def main(users=4_000, folder=None):
    rng, start = np.random.default_rng(0), time.perf_counter()
    words, vocabulary = shared_words(random_index(ITEMS, seed=0)); words = words.numpy()
    sequences = [rng.integers(0, ITEMS, 2 + min(200, rng.geometric(.205))) for _ in range(users)]
    peak = {name: 2*2048**3/min(matmul_seconds(dtype, "cpu", (2048,)*3) for _ in range(5)) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))[:1 + fast_bf16()]}
    rows = {dial: compare(dial, words, vocabulary, sequences, peak) for dial in ("small", "full")}
    print(json.dumps(rows))
    if folder:
        full = rows["full"]
        said = dict(name="training-cpu", ours=full["targets_per_s"]["ours"], theirs=max(r for n, r in full["targets_per_s"].items() if n.startswith("Seq2Seq")), ratio=full["ratio"], summary="targets per second of training at the dial full, all targets of a history in one pass; theirs: Seq2SeqTrainer, one target a row, the best batch size and precision")
        save_record(new_record("bench-train", "random histories", "bench", "training", {}, dict(users=users, items=ITEMS, seconds=SECONDS, budget=BUDGET, threads=torch.get_num_threads(), gflops={n: round(p/1e9) for n, p in peak.items()}), dict(train_seconds=time.perf_counter() - start, predict_seconds=0., peak_rss_mb=peak_rss_mb()), 0, "full", rows=rows, **said), folder)

if __name__ == "__main__": main(*map(int, sys.argv[1:2]), folder=sys.argv[3] if len(sys.argv) > 3 else None)
