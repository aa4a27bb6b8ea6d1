"Counting models on the real log: known numbers, exactness under renumbering, cost, and odd inputs."
import time
import numpy as np, pytest
from conftest import real
from p5_nb.baselines.ease import EASE
from p5_nb.baselines.neighbours import ItemKNN, Markov, Popularity, faded, flat, pairs
from p5_nb.data.schema import Interactions, leave_one_out, read_sequences
from p5_nb.measure.ranking import rank_measures, target_ranks
from p5_nb.results import read_records

@pytest.fixture(scope="module")
def beauty():
    return leave_one_out(Interactions.from_frame(read_sequences(real("amazon14_sequences/Beauty.txt")), name="beauty"))

def ranks(model, split, part="test", filter_seen=True, new=None):
    history, target = split.history(part), split.target(part)
    if new is not None: history, target = [new[h] for h in history], new[target]
    return target_ranks(lambda rows: model.score(history[rows]), target, history if filter_seen else None, split.n_items)

def hit5(*args, **kw): return rank_measures(ranks(*args, **kw), ks=[5])["hit@5"]

def test_markov_has_the_known_numbers(beauty):
    markov = Markov().fit(beauty.sequences(), beauty.n_items)
    assert hit5(markov, beauty, filter_seen=False) == pytest.approx(.0505, abs=.0005)
    assert hit5(markov, beauty) == pytest.approx(.0514, abs=.0016)

def test_itemknn_reaches_its_mark_fast(beauty):
    start = time.perf_counter()
    knn = ItemKNN().fit(beauty.sequences(), beauty.n_items)
    assert time.perf_counter() - start < 10               # about half a second on a quiet core
    assert hit5(knn, beauty) >= .061

@pytest.mark.parametrize("model", [Popularity(), Markov(), ItemKNN()], ids=lambda m: type(m).__name__)
def test_renumbering_moves_no_rank(beauty, model):
    sequences = beauty.sequences()
    before = ranks(model.fit(sequences, beauty.n_items), beauty)
    new = np.random.default_rng(11).permutation(beauty.n_items)
    after = ranks(model.fit([new[s] for s in sequences], beauty.n_items), beauty, new=new)
    np.testing.assert_array_equal(before, after)

@pytest.mark.parametrize("name, make", [("popularity", lambda k: Popularity()), ("markov", lambda k: Markov()), ("itemknn", lambda k: ItemKNN(**k))])
def test_the_records_hold_what_the_code_gives(beauty, name, make):
    records = read_records(dataset="amazon14-beauty", task="sequential", model=name, dial="full")
    assert {r["protocol"]["filter_seen"] for r in records} == {True, False}
    for r in records:
        assert r["protocol"] | {"filter_seen": None} == {"split": "leave-one-out", "ranking": "full", "filter_seen": None, "ties": "file", "score_ties": "average", "fitted_on": "train", "selected_on": "valid", "settings_tried": len(r["tried"])}
        model = make(r["knobs"]).fit(beauty.sequences(), beauty.n_items)
        assert hit5(model, beauty, filter_seen=r["protocol"]["filter_seen"]) == pytest.approx(r["metrics"]["test"]["hit@5"], abs=1e-9)

def test_the_default_knobs_are_those_chosen_on_beauty():
    real("amazon14_sequences/Beauty.txt")
    knn, = [r for r in read_records(dataset="amazon14-beauty", model="itemknn", dial="full") if r["protocol"]["filter_seen"]]
    assert vars(ItemKNN()) == knn["knobs"]
    assert max(t["hit@5"] for t in knn["tried"]) == knn["metrics"]["valid"]["hit@5"]

def made(seed, users=50, items=20):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, items, rng.integers(1, 9)) for _ in range(users)]              # with repeats

@pytest.mark.parametrize("seed", range(5))
def test_sparse_equals_loops_with_repeated_items(seed):
    log, S, C = made(seed), np.zeros((20, 20)), np.zeros((20, 20))
    for s in log:
        for x in range(len(s)):
            for y in range(x + 1, len(s)):
                S[s[x], s[y]] += .7**(y - x - 1); S[s[y], s[x]] += .7**(y - x - 1) * .2
                C[s[x], s[y]] += y == x + 1
    np.testing.assert_allclose(ItemKNN(.7, .2, .5).fit(log, 20).near.toarray(), S, atol=1e-4)
    np.testing.assert_array_equal(pairs(log, 20).toarray(), C)
    want = [sum(.5**a * S[i] for a, i in enumerate(h[::-1])) for h in log]
    np.testing.assert_allclose(ItemKNN(.7, .2, .5).fit(log, 20).score(log), want, atol=1e-3)

@pytest.mark.parametrize("seed", range(3))
def test_ease_equals_ridge_regression(seed):
    Ridge = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed: pip install 'p5_nb[dev]'").Ridge
    log, X = made(seed), np.zeros((50, 20))
    for row, s in zip(X, log): row[s] = 1
    weights = EASE(l2=3).fit(log, 20).weights
    for j in range(20):
        others = np.delete(np.arange(20), j)
        np.testing.assert_allclose(weights[others, j], Ridge(alpha=3, fit_intercept=False).fit(X[:, others], X[:, j]).coef_, atol=1e-5)
    assert (np.diag(weights) == 0).all()

@pytest.mark.parametrize("model", [Popularity(), Markov(), ItemKNN(), EASE(l2=5)], ids=lambda m: type(m).__name__)
def test_shapes_and_items_never_seen(model):
    scores = model.fit(made(0), 25).score([[3, 4], [], [24]])                              # items 20 … 24 were never bought
    assert scores.shape == (3, 25) and scores.dtype == np.float32 and np.isfinite(scores).all()
    assert (scores[:, 20:] == 0).all()
    assert model.score([]).shape == (0, 25)

@pytest.mark.parametrize("call, message", [
    (lambda: Popularity().fit([], 5), "nothing to count"),
    (lambda: Markov().fit([[]], 5), "nothing to count"),
    (lambda: ItemKNN().fit([[1]], 5), "no sequence holds two purchases"),
    (lambda: EASE().fit([], 5), "nothing to explain"),
    (lambda: Markov().fit([[1], [2, 5]], 5), "item 5 of sequence 1"),
    (lambda: ItemKNN().fit([[1, 2]], 5).score([[-1]]), "item -1 of sequence 0"),
    (lambda: faded([[.5]], 5, 1.), "items are float64"),
    (lambda: ItemKNN(decay=1.5), "decay is 1.5"),
    (lambda: EASE(l2=-1), "l2 is -1"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message): call()
