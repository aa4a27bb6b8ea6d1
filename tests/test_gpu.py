"On a GPU, where there is one: the same lists as on the processor, rules kept, a training that learns and goes on from its checkpoint."
import numpy as np, pytest, torch
from p5_nb.data.market import load_market
from p5_nb.data.schema import leave_one_out
from p5_nb.index.collaborative import collaborative_index
from p5_nb.index.ids import random_index
from p5_nb.index.trie import SparseTable, build_trie, only
from p5_nb.predict.beam import beam_search
from p5_nb.predict.sequential import Sequential, measure
from p5_nb.pretrain.t5 import T5, T5Config, hide

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

@pytest.fixture(scope="module")
def shop():
    split = leave_one_out(load_market().interactions)
    return split, split.sequences(), collaborative_index(split.sequences(), split.n_items, seed=0)

@torch.no_grad()
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_same_lists_as_on_the_processor(levels):
    torch.manual_seed(levels)
    index = random_index(500, levels, seed=0)
    trie, offsets = build_trie(index), [2 + sum(index.sizes[:l]) for l in range(levels)]
    model = T5(T5Config(2 + sum(index.sizes), 64, 16, 128, 2, 2)).eval()
    model.shared.weight.mul_(2)
    ids, forbidden, allowed = torch.randint(2, model.config.vocab_size, (50, 12)), torch.randint(-1, 500, (50, 8)), torch.rand(500) < .7
    real = torch.arange(12) < torch.randint(3, 13, (50, 1))
    found = []
    for device in ("cpu", "cuda"):
        m, part = model.to(device), only(trie, allowed).to(device)
        found.append([x.cpu() for x in beam_search(m, m.encode(ids.to(device), real.to(device)), hide(real.to(device))[:, None, None], part, offsets, 20, forbidden.to(device))])
    (items, scores), (again, others) = found
    assert torch.allclose(scores, others, atol=1e-4) and (items == again).float().mean() > .99
    for row, gone in zip(again.tolist(), forbidden.tolist()): assert not set(row) & set(gone) and all(allowed[i] for i in row)

def test_sparse_levels_are_the_same():
    "A level too large for a full table."
    rng = np.random.default_rng(0)
    rows = SparseTable.of(np.sort(rng.integers(9, size=40)), rng.permutation(64)[:40], np.arange(40), (9, 64))
    node = torch.from_numpy(rng.integers(9, size=(3, 5)))
    assert torch.equal(rows.to("cuda")[node.cuda()].cpu(), rows[node])

def test_a_reader_learns_on_the_gpu(shop, tmp_path):
    split, sequences, index = shop
    reader = Sequential(index, "smoke", 0).to("cuda")
    learner = reader.fit(sequences, tmp_path)
    assert learner.log[-1]["loss"] < learner.log[0]["loss"] and learner.workers == 1
    here = measure(reader, split, "valid")
    lists, _ = reader.recommend(split.history("valid")[:100])
    assert here["hit@10"] > .15 and not any(set(l) & set(h.tolist()) for l, h in zip(lists.tolist(), split.history("valid")))
    reader.save(tmp_path)
    there = measure(Sequential.load(tmp_path), split, "valid")
    assert abs(here["hit@10"] - there["hit@10"]) < .005

def test_an_interrupted_run_goes_on(shop, tmp_path):
    _, sequences, index = shop
    calls = []
    def stop(rows, epoch):
        calls.append(1)
        if len(calls) == 60: raise KeyboardInterrupt
        return [np.full(len(s) - 1, -1) for s in (pieces[r] for r in rows)]
    from p5_nb.pretrain.packed import windows
    pieces = [items for items, _ in windows(sequences)]
    reader = Sequential(index, "smoke", 0).to("cuda")
    with pytest.raises(KeyboardInterrupt): reader.fit(sequences, tmp_path, also=stop)
    learner = Sequential(index, "smoke", 0).to("cuda").fit(sequences, tmp_path, also=stop)
    assert learner.epoch == learner.epochs and learner.log[-1]["loss"] < learner.log[0]["loss"]
