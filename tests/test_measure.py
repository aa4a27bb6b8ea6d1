"Measures against other packages, real files and odd inputs; the lessons hold the hand examples."
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.stats import rankdata
from conftest import real
from p5_nb.measure.ranking import coverage, list_measures, list_ranks, rank_measures, sampled_ranks, target_ranks, top_lists
from p5_nb.measure.rating import mae, rmse

rng = np.random.default_rng(3)
USERS, ITEMS = 200, 60

def free_of_ties(): return rng.permuted(np.tile(np.arange(ITEMS, dtype=float), (USERS, 1)), axis=1)

def by_scipy(scores, targets, seen):
    "Average ranks, one user at a time, the slow and obvious way."
    keep = [[j for j in range(scores.shape[1]) if j == t or j not in set(s)] for t, s in zip(targets, seen)]
    return [rankdata(-row[k], method="average")[k.index(t)] for row, t, k in zip(scores, targets, keep)]

@pytest.fixture(scope="module")
def ranx():
    return pytest.importorskip("ranx", reason="ranx is not installed: pip install 'p5_nb[dev]'")

def ranx_measures(ranx, scores, relevant, names):
    qrels = ranx.Qrels({f"u{u}": {f"i{i}": 1 for i in r} for u, r in enumerate(relevant)})
    run = ranx.Run({f"u{u}": {f"i{i}": s for i, s in enumerate(row)} for u, row in enumerate(scores)})
    return ranx.evaluate(qrels, run, names)

@pytest.mark.parametrize("most", [1, 7])
def test_equal_to_ranx(ranx, most):
    scores = free_of_ties()
    relevant = [rng.choice(ITEMS, rng.integers(1, most + 1), replace=False) for _ in range(USERS)]
    ours = list_measures(top_lists(lambda rows: scores[rows], USERS, 20), relevant, ks=(1, 5, 10, 20))
    name = {"hit": "hit_rate"}
    theirs = ranx_measures(ranx, scores, relevant, [f"{name.get(m.split('@')[0], m.split('@')[0])}@{m.split('@')[1]}" for m in ours])
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=0, atol=1e-9)

def test_one_relevant_item_equal_to_ranx(ranx):
    scores, targets = free_of_ties(), rng.integers(0, ITEMS, USERS)
    ours = rank_measures(target_ranks(lambda rows: scores[rows], targets), ks=(1, 5, 10))
    theirs = ranx_measures(ranx, scores, targets[:, None], [m.replace("hit", "hit_rate") for m in ours])
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=0, atol=1e-9)

def test_equal_to_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: pip install 'p5_nb[dev]'")
    scores, targets = free_of_ties(), rng.integers(0, ITEMS, USERS)
    ours = rank_measures(target_ranks(lambda rows: scores[rows], targets), ks=(5,))
    right = np.zeros((USERS, ITEMS)); right[np.arange(USERS), targets] = 1
    assert ours["ndcg@5"] == pytest.approx(sk.ndcg_score(right, scores, k=5), abs=1e-9)
    assert ours["hit@5"] == pytest.approx(sk.top_k_accuracy_score(targets, scores, k=5, labels=range(ITEMS)), abs=1e-9)
    y, p = rng.integers(1, 6, 500), rng.normal(3, 1, 500)
    assert mae(y, p) == pytest.approx(sk.mean_absolute_error(y, p), abs=1e-9)
    assert rmse(y, p) == pytest.approx(sk.mean_squared_error(y, p) ** .5, abs=1e-9)

@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 9))
def test_ties_and_seen_items_equal_to_scipy(seed, levels, batch):
    rng = np.random.default_rng(seed)
    scores, targets = rng.integers(0, levels, (20, 15)).astype(float), rng.integers(0, 15, 20)
    seen = [rng.integers(0, 15, rng.integers(0, 10)) for _ in targets]
    np.testing.assert_array_equal(target_ranks(lambda rows: scores[rows], targets, seen, batch=batch), by_scipy(scores, targets, seen))

def test_item_numbering_moves_no_number():
    scores, targets = rng.integers(0, 5, (USERS, ITEMS)).astype(float), rng.integers(0, ITEMS, USERS)
    seen, order = list(rng.integers(0, ITEMS, (USERS, 6))), rng.permutation(ITEMS)
    new = np.argsort(order)                                     # item i is now called new[i]
    a = target_ranks(lambda rows: scores[rows], targets, seen)
    b = target_ranks(lambda rows: scores[rows][:, order], new[targets], [new[s] for s in seen])
    np.testing.assert_array_equal(a, b)

def test_a_constant_model_gets_the_middle():
    ranks = target_ranks(lambda rows: np.zeros((rows.stop - rows.start, 101)), np.arange(50))
    assert set(ranks) == {51.0} and rank_measures(ranks)["hit@10"] == 0

@pytest.mark.parametrize("kind", ["float32", "int", "sparse", "torch", "minus infinity"])
def test_kinds_of_scores(kind):
    scores, targets = rng.integers(0, 3, (40, 12)).astype(float), rng.integers(0, 12, 40)
    if kind == "minus infinity": scores[scores == 0] = -np.inf
    as_kind = {"float32": np.float32, "int": lambda x: x.astype(int), "sparse": sparse.csr_matrix, "minus infinity": np.asarray,
               "torch": lambda x: pytest.importorskip("torch").tensor(x)}[kind]
    np.testing.assert_array_equal(target_ranks(lambda rows: as_kind(scores[rows]), targets, [[0, 1]] * 40), by_scipy(scores, targets, [[0, 1]] * 40))

def test_top_lists_agree_with_a_full_sort_and_leave_out_seen_items():
    scores, seen = free_of_ties(), list(rng.integers(0, ITEMS, (USERS, 10)))
    lists = top_lists(lambda rows: scores[rows], USERS, 8, seen, batch=33)
    for row, s, got in zip(scores, seen, lists):
        assert got.tolist() == [i for i in np.argsort(-row) if i not in set(s)][:8]
    assert top_lists(lambda rows: scores[rows], USERS, ITEMS + 5).shape == (USERS, ITEMS + 5)
    assert (top_lists(lambda rows: scores[rows], USERS, ITEMS + 5)[:, -5:] == -1).all()

def test_ties_in_lists_do_not_favour_small_numbers():
    first = top_lists(lambda rows: np.zeros((rows.stop - rows.start, 1000)), 1, 10, seed=1)[0]
    assert first.mean() > 100                                   # numbers 0 … 9 would have the mean 4.5

def test_sampled_ranks_count_only_the_drawn():
    scores, targets = free_of_ties(), rng.integers(0, ITEMS, USERS)
    drawn = np.array([rng.choice(np.delete(np.arange(ITEMS), t), 9, replace=False) for t in targets])
    want = [1 + sum(row[d] > row[t]) for row, t, d in zip(scores, targets, drawn)]
    np.testing.assert_array_equal(sampled_ranks(lambda rows: scores[rows], targets, drawn, batch=64), want)

@pytest.mark.parametrize("call, message", [
    (lambda: target_ranks(lambda r: np.zeros((1, 5)), [5]), "target 5 of row 0 is not one of the 5 items"),
    (lambda: target_ranks(lambda r: np.zeros((1, 5)), [-1]), "target -1 of row 0"),
    (lambda: target_ranks(lambda r: np.zeros((1, 5)), [1], n_items=6), r"expected \(1, 6\)"),
    (lambda: target_ranks(lambda r: np.full((1, 5), np.nan), [1]), "NaN for row 0"),
    (lambda: target_ranks(lambda r: np.zeros((1, 5)), [1], seen=[[7]]), "seen item 7 of row 0"),
    (lambda: rank_measures([np.nan]), "rank nan at row 0"),
    (lambda: list_ranks([[3, 3]], [3]), "lists item 3 twice"),
    (lambda: list_measures([[1]], [[]]), "no relevant item"),
    (lambda: coverage([[9]], 9), "item 9 is listed"),
    (lambda: rmse([1, np.nan], [1, 1]), r"true\[1\] is nan"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message): call()

def test_beauty_popularity():
    "Average ranks of the whole catalogue, equal to scipy on a sample of users, and the lesson's printed number."
    lines = real("amazon14_sequences/Beauty.txt").read_text().splitlines()
    seqs = [np.array(l.split()[1:], dtype=int) - 1 for l in lines]
    count = np.bincount(np.concatenate([q[:-2] for q in seqs]), minlength=12_101)
    score = lambda rows: np.broadcast_to(count, (rows.stop - rows.start, len(count)))
    targets, seen = [q[-1] for q in seqs], [q[:-1] for q in seqs]
    ranks = target_ranks(score, targets, seen)
    some = rng.choice(len(seqs), 50, replace=False)
    np.testing.assert_array_equal(ranks[some], by_scipy(np.tile(count, (50, 1)), [targets[i] for i in some], [seen[i] for i in some]))
    assert round(rank_measures(ranks)["hit@5"], 4) == 0.0068
