"""Does the fast training cost quality? The same sizes, names, histories, recipe and number of epochs, trained in two ways, and what each then finds on validation; both sides in one run.

    python tests/bench/bench_quality.py [data] [epochs] [folder for the record] [cpu or cuda] [seed]

Names are three tokens that all items share, from company in the training part (`collaborative_index`); the `small` dial. theirs: `Seq2SeqTrainer`, one target a row: the tokens of up to 20 names and an
end are read in both directions, a name and an end are written. ours: an item is read as one word, looks back only, and every "what next?" of a history is answered in one pass. Both lists come
from the same beam search (40 beams, full ranking, seen items left out). The test part is not touched. Needs real data, and `accelerate` beside transformers.
"""
import sys, tempfile, time
import numpy as np
import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, T5ForConditionalGeneration
from transformers import T5Config as Published
from p5_nb.core import peak_rss_mb, progress, seed_everything
from p5_nb.data.loaders import load
from p5_nb.data.schema import leave_one_out
from p5_nb.index.collaborative import collaborative_index
from p5_nb.measure.ranking import list_ranks, rank_measures
from p5_nb.predict.beam import beam_search
from p5_nb.predict.sequential import PRESETS, Sequential, measure
from p5_nb.pretrain.backbone import load_t5
from p5_nb.pretrain.packed import pad
from p5_nb.pretrain.t5 import hide
from p5_nb.results import new_record, save_record

def question(words, items): return np.append(words[items[-20:]].ravel(), 1)

def collate(rows):
    ids = pad([r["input_ids"] for r in rows], 0)
    return dict(input_ids=ids, attention_mask=(ids > 0).long(), labels=pad([r["labels"] for r in rows], -100))

def theirs(model, sequences, epochs, seed, folder, device):
    "A trained T5 of transformers, its seconds."
    words, c, p = model.model.words.numpy(), model.model.config, PRESETS["small"]
    rows = [dict(input_ids=question(words, s[:n]), labels=np.append(words[s[n]], 1)) for s in sequences for n in range(1, len(s))]
    for row in rows: row["length"] = len(row["input_ids"])
    seed_everything(seed)
    net = T5ForConditionalGeneration(Published(vocab_size=c.vocab_size, d_model=c.d_model, d_kv=c.d_kv, d_ff=c.d_ff, num_layers=c.num_layers, num_decoder_layers=c.num_decoder_layers, num_heads=c.num_heads, dropout_rate=c.dropout_rate, decoder_start_token_id=0))
    args = Seq2SeqTrainingArguments(folder, per_device_train_batch_size=256, num_train_epochs=epochs, learning_rate=p["lr"], lr_scheduler_type="cosine", warmup_steps=.05, adam_beta2=.99, optim="adamw_torch_fused", seed=seed,
                                    train_sampling_strategy="group_by_length", length_column_name="length", bf16=device == "cuda", logging_strategy="no", save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=device == "cpu", remove_unused_columns=False)
    trainer, start = Seq2SeqTrainer(net, args, train_dataset=rows, data_collator=collate), time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    net.save_pretrained(folder)
    return load_t5(folder).eval().to(device), seconds

@torch.no_grad()
def found(net, model, split, part, batch=128):
    "hit@5 and the like of a plain T5 that reads names token by token."
    history, words, device = split.history(part), model.model.words.cpu().numpy(), net.shared.weight.device
    order, items = np.argsort([len(h) for h in history], kind="stable"), np.full((len(history), 10), -1)
    for start in progress(range(0, len(order), batch), "searching"):
        rows = order[start:start + batch]
        ids, seen = pad([question(words, history[r]) for r in rows], 0).to(device), pad([history[r] for r in rows]).to(device)
        items[rows] = beam_search(net, net.encode(ids, ids > 0), hide(ids > 0)[:, None, None], model.trie, model.offsets, 40, seen)[0][:, :10].cpu()
    return rank_measures(list_ranks(items, split.target(part)), ks=(5, 10))

def main(data="beauty", epochs=10, folder=None, device="cpu", seed=0):
    log = load(data); split = leave_one_out(log); sequences = split.sequences()
    PRESETS["small"]["epochs"] = epochs
    side = int(np.ceil(split.n_items**(1/3)))
    model = Sequential(collaborative_index(sequences, split.n_items, (side,)*2, seed=seed), "small", seed, own=False)
    with tempfile.TemporaryDirectory() as scratch: net, their_seconds = theirs(model, sequences, epochs, seed, scratch, device)
    learner = model.to(device).fit(sequences)
    rows = dict(ours=measure(model, split, "valid") | dict(seconds=round(learner.seconds, 1)), theirs=found(net, model, split, "valid") | dict(seconds=round(their_seconds, 1)))
    for name, row in rows.items(): print(f"{name:7}" + "  ".join(f"{k} {v:.4f}" if k != "seconds" else f"{v:,.0f} s" for k, v in row.items()))
    if folder:
        mine, other = (rows[k]["hit@10"] for k in ("ours", "theirs"))
        said = dict(name="training-quality", ours=mine, theirs=other, ratio=round(mine/other, 3), summary=f"hit@10 on validation after {epochs} epochs, packed targets; theirs: Seq2SeqTrainer, one target a row")
        save_record(new_record(f"bench-quality-{data}-s{seed}", data, "bench", "training quality", {"valid": {k: v for k, v in rows["ours"].items() if k != "seconds"}}, dict(split=split.kind, ranking="full", filter_seen=True, fitted_on="train", epochs=epochs),
                               dict(train_seconds=learner.seconds, predict_seconds=0., peak_rss_mb=peak_rss_mb()), seed, "small", rows=rows, **said), folder)

if __name__ == "__main__": main(*(f(x) for f, x in zip((str, int, str, str, int), sys.argv[1:])))
