"Beam search over random tries: every output is an allowed item, none twice, best first, and equal to scoring everything."
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from transformers import T5ForConditionalGeneration
from p5_nb.index import trie as trie_module
from p5_nb.index.ids import ItemIndex
from p5_nb.index.trie import build_trie, name_words, only, walk
from p5_nb.pretrain.backbone import save_t5
from p5_nb.pretrain.generate import SlowPen
from p5_nb.predict.beam import beam_search, score_candidates, score_items
from p5_nb.pretrain.packed import ItemT5
from p5_nb.pretrain.t5 import T5, T5Config

@st.composite
def indexes(draw):
    "A random index: 1 to 3 levels, some of the possible names taken."
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    room = int(np.prod(sizes))
    taken = np.random.default_rng(draw(st.integers(0, 2**16))).choice(room, draw(st.integers(1, room)), replace=False)
    return ItemIndex(np.stack(np.unravel_index(taken, sizes), 1), sizes, "drawn")

def model_for(index, seed):
    torch.manual_seed(seed)
    offsets = [2 + sum(index.sizes[:l]) for l in range(len(index.sizes))]
    return T5(T5Config(2 + sum(index.sizes), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_decoder_layers=1, num_heads=2)).eval(), offsets

@settings(max_examples=40, deadline=None)
@given(indexes(), st.integers(0, 99), st.integers(1, 9))
@torch.no_grad()
def test_candidates_equal_scoring_everything(index, seed, n):
    "Names of one to three tokens, items asked about twice, a source of its own for each row."
    model, offsets = model_for(index, seed)
    states, look, words = model.encode(torch.randint(2, model.config.vocab_size, (3, 4))), torch.zeros(1, 1, 1, 1), torch.tensor(index.codes) + torch.tensor(offsets)
    asked = torch.randint(len(index), (3, n))
    assert torch.allclose(score_candidates(model, states, look, words[asked]), score_items(model, states, look, words).gather(1, asked), atol=1e-4)

@settings(max_examples=40, deadline=None)
@given(indexes(), st.integers(0, 99), st.data())
def test_full_beam_equals_scoring_everything(index, seed, data):
    model, offsets = model_for(index, seed)
    states, look, n = model.encode(torch.randint(2, model.config.vocab_size, (3, 4))), torch.zeros(1, 1, 1, 1), len(index)
    gone = torch.tensor([data.draw(st.lists(st.integers(-1, n - 1), min_size=2, max_size=2)) for _ in range(3)])
    with torch.no_grad(): exact = score_items(model, states, look, torch.tensor(index.codes) + torch.tensor(offsets))
    for row, g in zip(exact, gone): row[g[g >= 0]] = -torch.inf
    width = int(np.prod([max(s, 1) for s in index.sizes]))
    items, scores = beam_search(model, states, look, build_trie(index), offsets, k=width, forbidden=gone)
    for row in range(3):
        left = int((exact[row] > -torch.inf).sum())
        assert torch.allclose(scores[row, :left], exact[row].sort(descending=True).values[:left], atol=1e-4)
        assert sorted(items[row, :left].tolist()) == sorted(torch.nonzero(exact[row] > -torch.inf).flatten().tolist())
        assert (items[row, left:] == -1).all()

@settings(max_examples=40, deadline=None)
@given(indexes(), st.integers(0, 99), st.integers(1, 8))
def test_narrow_beam_gives_only_items(index, seed, k):
    model, offsets = model_for(index, seed)
    items, scores = beam_search(model, model.encode(torch.randint(2, model.config.vocab_size, (4, 3))), torch.zeros(1, 1, 1, 1), build_trie(index), offsets, k)
    for row, s in zip(items.tolist(), scores):
        real = [i for i in row if i >= 0]
        assert real and len(set(real)) == len(real) and all(0 <= i < len(index) for i in real)
        assert (s[1:] <= s[:-1]).all()

@settings(max_examples=60, deadline=None)
@given(indexes(), st.integers(0, 99), st.integers(1, 8), st.data())
def test_as_many_come_back_as_are_allowed(index, seed, k, data):
    model, offsets = model_for(index, seed)
    n, rng = len(index), np.random.default_rng(data.draw(st.integers(0, 2**16)))
    allowed = torch.from_numpy(rng.random(n) < data.draw(st.sampled_from([.2, .6, 1.])))
    allowed[rng.integers(n)] = True
    forbidden = torch.from_numpy(rng.integers(-1, n, (4, data.draw(st.integers(1, 2*n)))))       # repeats and −1 among them
    items, _ = beam_search(model, model.encode(torch.randint(2, model.config.vocab_size, (4, 3))), torch.zeros(1, 1, 1, 1), only(build_trie(index), allowed), offsets, k, forbidden)
    for row, gone in zip(items.tolist(), forbidden.tolist()):
        real, left = [i for i in row if i >= 0], set(allowed.nonzero()[:, 0].tolist()) - set(gone)
        assert set(real) <= left and len(real) == len(set(real)) == min(k, len(left))

@pytest.mark.parametrize("seed", range(3))
def test_same_lists_as_generate(seed, tmp_path):
    rng, sizes = np.random.default_rng(seed), (7, 6, 5)
    index = ItemIndex(np.stack(np.unravel_index(rng.choice(210, 90, replace=False), sizes), 1), sizes, "drawn")
    trie, (model, offsets) = build_trie(index), model_for(index, seed)
    with torch.no_grad(): model.shared.weight.mul_(2)                                            # far from uniform
    save_t5(model, tmp_path)
    theirs = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    sources, allowed, k = torch.randint(2, model.config.vocab_size, (6, 9)), torch.from_numpy(rng.random(90) < .7), 12
    sources[:3, 5:], names = 0, [tuple(c) for c in index.codes + np.array(offsets)]
    def may_follow(user, ids):                                                                   # by looking through all names, not through our trie
        begun = tuple(ids[1:].tolist())
        return sorted({name[len(begun)] for name, ok in zip(names, allowed) if ok and name[:len(begun)] == begun})
    with torch.no_grad():
        out = theirs.generate(sources, attention_mask=(sources > 0).long(), max_new_tokens=3, num_beams=k, num_return_sequences=k, length_penalty=0., prefix_allowed_tokens_fn=may_follow, output_scores=True, return_dict_in_generate=True)
        look = torch.zeros(6, 1, 1, 9).masked_fill(~(sources > 0)[:, None, None], -1e9)
        items, score = beam_search(model, model.encode(sources, sources > 0), look, only(trie, allowed), offsets, k)
    assert [[names[i] for i in row] for row in items] == [[tuple(r) for r in user.tolist()] for user in out.sequences[:, 1:4].view(6, k, 3)]
    assert torch.allclose(score.flatten(), out.sequences_scores, atol=1e-5)

def test_cached_and_slow_pen_write_the_same():
    index = ItemIndex(np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), 1), (3, 4, 5), "all")
    model, offsets = model_for(index, 1)
    states, look = model.encode(torch.randint(2, model.config.vocab_size, (5, 4))), torch.zeros(1, 1, 1, 1)
    quick = beam_search(model, states, look, build_trie(index), offsets, 8)
    model.pen = lambda states, bias: SlowPen(model, states, bias)
    slow = beam_search(model, states, look, build_trie(index), offsets, 8)
    assert torch.equal(quick[0], slow[0]) and torch.allclose(quick[1], slow[1], atol=1e-5)

@settings(max_examples=60, deadline=None)
@given(indexes(), st.integers(0, 99))
def test_a_sparse_trie_is_the_same_trie(index, seed):
    dense, rng = build_trie(index), np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trie_module, "MOST_CELLS", 0)
        sparse, allowed = build_trie(index), torch.from_numpy(rng.random(len(index)) < .5)
        allowed[rng.integers(len(index))] = True
        fewer = only(sparse, allowed)
    assert walk(sparse, torch.tensor(index.codes)).tolist() == list(range(len(index)))
    assert all(isinstance(t, trie_module.SparseTable) for t in (*sparse.children, *fewer.children))
    for a, b in ((dense, sparse), (only(dense, allowed), fewer)):
        assert all(torch.equal(t.int(), s[torch.arange(len(t))]) for t, s in zip(a.children, b.children)) and all(torch.equal(x, y) for x, y in zip(a.sizes, b.sizes))
    model, offsets = model_for(index, seed)
    states, forbidden = model.encode(torch.randint(2, model.config.vocab_size, (3, 3))), torch.from_numpy(rng.integers(-1, len(index), (3, 4)))
    one, other = (beam_search(model, states, torch.zeros(1, 1, 1, 1), t, offsets, 5, forbidden) for t in (dense, sparse))
    assert torch.equal(one[0], other[0]) and torch.allclose(one[1], other[1], rtol=1e-6, atol=0)         # a sparse level keeps fewer empty beams, and a product of fewer rows may round its last bit otherwise

@settings(max_examples=60, deadline=None)
@given(indexes())
def test_names_spell_items(index):
    trie = build_trie(index)
    assert walk(trie, torch.tensor(index.codes)).tolist() == list(range(len(index)))
    words, vocabulary = name_words(trie)
    assert len(set(words[:, -1].tolist())) == len(index) and words.min() >= 2 and words.max() < vocabulary

def test_probabilities_of_all_items_add_up_to_one():
    index = ItemIndex(np.random.default_rng(0).permutation([(a, b) for a in range(5) for b in range(6)])[:23], (5, 6), "drawn")
    trie = build_trie(index)
    words, vocabulary = name_words(trie)
    torch.manual_seed(0)
    model = ItemT5(T5Config(vocabulary, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_decoder_layers=1, num_heads=2), words, places=trie.children[-1]).eval()
    history = torch.tensor([[3, 1, 22], [5, 7, -1]])
    with torch.no_grad(): states, look = model.read_histories(history), model.look_back(history, (history >= 0).sum(1)[:, None])
    items, scores = beam_search(model, states, look, trie, [2, 7], 30, log_probs=model.level_log_probs)
    assert (items[:, :23] >= 0).all()
    assert torch.allclose(scores[:, :23].exp().sum(1), torch.ones(2), atol=1e-5)
