"The simulated market: its truth against independent simulation, its files, and its forms in public formats."
import hashlib, json, time
from functools import cache
import numpy as np, pandas as pd, pytest
from p5_nb.core import package_data
from p5_nb.data import loaders, market as mk
from p5_nb.data.schema import Interactions

SHIPPED = "f68a14698e99d41e66471ef9a92c48fa4a0fcfe53bc2002dd13b847c557a53e1"

@cache
def shipped(): return mk.load_market()

def score(m, user, history, i):
    "The score of one item from the words of the catalogue, without the package's matrices."
    it = m.items.loc[i]
    angle = .15*float(m.sessions[user, min(len(history), m.sessions.shape[1] - 1)])
    theta = np.cos(angle)*m.taste[0, user].astype(float) + np.sin(angle)*m.taste[1, user].astype(float)
    s = .3*theta[mk.CATEGORIES.index(it.category)] + 1.4*theta[12 + mk.BRANDS.index(it.brand)] + 3.4*theta[22 + mk.SCENTS.index(it.scent)]
    s += .4*theta[28 + mk.TEXTURES.index(it.texture)] + .8*it.level*theta[31] + m.popular[i]
    if len(history):
        last = m.items.loc[history[-1]]
        a, b = mk.CATEGORIES.index(last.category), mk.CATEGORIES.index(it.category)
        s += (1. if a//4 == b//4 else 0) + (2.2 if a//4 == b//4 and (a + 1) % 4 == b % 4 else 0) + (.4 if last.brand == it.brand else 0) - (.8 if last.scent == it.scent else 0)
    return s

@pytest.mark.parametrize("user,steps", [(0, 0), (23, 3), (23, 8), (999, 5)])
def test_next_item_frequencies(user, steps):
    "Largest of score + Gumbel noise, 40,000 times: an independent way to draw from the same law."
    m = shipped()
    history = m.interactions.df[m.interactions.df.user == user].item.to_numpy()[:steps]
    scores = np.array([-np.inf if i in set(history) else score(m, user, history, i) for i in range(m.interactions.n_items)])
    rng, n = np.random.default_rng(user + steps), 40_000
    counts = np.bincount((scores + rng.gumbel(size=(n, len(scores)))).argmax(1), minlength=len(scores))
    p = m.next_probs([user], [history])[0]
    assert (abs(counts - n*p) <= 5*np.sqrt(n*p*(1 - p)) + 3).all()
    assert p[history].sum() == 0 and p.sum() == pytest.approx(1)

def test_expected_rating_is_the_mean_of_many_draws():
    "The same users rate the same purchases in 400 worlds."
    m = shipped()
    df = m.interactions.df[m.interactions.df.user < 10]
    mean = m.expected_rating(df.user, df.item)
    draws = 1 + np.random.default_rng(0).binomial(4, (mean - 1)/4, (400, len(df)))
    assert (abs(draws.mean(0) - mean) <= 5*np.sqrt((mean - 1)*(5 - mean)/4/400) + 1e-9).all()

def test_log_agrees_with_its_truth():
    "Ratings scatter around the expectation, and the likelihood of all purchases is what it should be, in five markets."
    for seed in range(5):
        m = mk.simulate(seed, 300)
        df = m.interactions.df
        mean = m.expected_rating(df.user, df.item)
        assert abs((df.rating - mean).sum()/np.sqrt(((mean - 1)*(5 - mean)/4).sum())) < 4.5
        seqs = [g.to_numpy() for _, g in df.groupby("user").item]
        users, hist, then = zip(*[(u, h[:k], h[k]) for u, h in enumerate(seqs) for k in range(len(h))])
        p = m.next_probs(users, hist)
        logs = np.log(np.maximum(p, 1e-300))
        expected = (p*logs).sum(1); variance = (p*logs**2).sum(1) - expected**2
        assert abs((logs[np.arange(len(then)), list(then)] - expected).sum()/np.sqrt(variance.sum())) < 4.5

def test_best_list_has_the_highest_expected_hit_and_ndcg():
    m = shipped(); users = np.arange(20)
    hist = [m.interactions.df[m.interactions.df.user == u].item.to_numpy()[:-1] for u in users]
    p, best, rng = m.next_probs(users, hist), m.best_list(users, hist, 10), np.random.default_rng(0)
    gain = 1/np.log2(np.arange(10) + 2)
    value = lambda lists: (np.take_along_axis(p, lists, 1) @ gain).mean()
    assert m.ceiling(users, hist)["ndcg@10"] == pytest.approx(value(best))
    assert m.ceiling(users, hist)["hit@1"] == pytest.approx(p.max(1).mean())
    for _ in range(50): assert value(rng.permuted(np.tile(np.arange(300), (20, 1)), axis=1)[:, :10]) < value(best)
    assert value(best[:, ::-1]) < value(best)

def test_clicks():
    m = shipped(); items = np.arange(40).reshape(4, 10)
    clicks = m.click_probs(np.arange(4)[:, None], items)
    assert clicks.shape == (4, 10) and (0 < clicks).all() and (clicks < .85**np.arange(10)).all()
    assert clicks[2] == pytest.approx(m.click_probs(2, items[2]))

def test_shipped_market_comes_out_again():
    assert mk.fingerprint(shipped()) == SHIPPED == mk.fingerprint(mk.simulate(seed=0))
    assert sum(f.stat().st_size for f in package_data("market").iterdir()) < 1_000_000

def test_loading_is_quick():
    def once(): start = time.perf_counter(); mk.load_market(); return time.perf_counter() - start
    assert min(once() for _ in range(4)) < .5

def test_shape_of_the_market():
    m = shipped(); s = m.interactions.stats()
    assert s["users"] == 1000 and s["items"] == 300 and s["shortest"] >= 5 and 11 < s["per_user"] < 14
    assert m.pictures.shape == (300, 8, 8) and m.items.title.is_unique and np.bincount(m.interactions.df.item).min() >= 5
    assert {"rating", "time", "text", "summary", "feature", "explanation"} <= set(m.interactions.df)
    assert set(m.interactions.df.rating) == {1, 2, 3, 4, 5}

def test_reviews_speak_of_the_true_taste():
    "The word is in the explanation, the explanation opens the text, and praise means a positive contribution."
    m = shipped(); df = m.interactions.df
    assert all(f in e for f, e in zip(df.feature, df.explanation))
    assert all(t.startswith(e[:-1]) for t, e in zip(df.text, df.explanation))
    adds = mk.by_attribute(m.taste_at(df.user, df.groupby("user").cumcount()), m.features[df.item])
    about = [list(mk.WORD.values()).index(f) for f in df.feature]
    liked = adds[np.arange(len(df)), about] > 0
    assert (df.summary.str.contains(" right ") == liked).all()

def test_numbers_do_not_depend_on_the_order_of_the_shelf():
    "Item numbers are a shuffle: neighbours in number are no more alike than chance."
    items = shipped().items
    assert (items.category.to_numpy()[1:] == items.category.to_numpy()[:-1]).mean() < .16

def test_public_formats_are_read_back(tmp_path):
    m = shipped(); files = m.emit(tmp_path, users=20)
    want = m.interactions.df[m.interactions.df.user < 20]
    read = [loaders.amazon(files[0], files[1]), loaders.amazon(files[2], files[3]), loaders.movielens(tmp_path/"ml-1m"), loaders.yelp(files[6], files[7])]
    titles = m.items.title.to_numpy()[want.item]
    for inter in read:
        assert len(inter) == len(want) and inter.df.rating.tolist() == want.rating.tolist() and inter.df.time.tolist() == want.time.tolist()
        assert [t.removesuffix(" (2022)") for t in inter.items.title.to_numpy()[inter.df.item]] == titles.tolist()
    assert read[0].df.text.tolist() == want.text.tolist() == read[3].df.text.tolist()
    assert read[1].items.price.to_numpy()[read[1].df.item] == pytest.approx(m.items.price.to_numpy()[want.item])
    assert files[1] == tmp_path/"amazon14"/"meta_Market.json.gz"
    again = [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
    assert again == [hashlib.sha256(f.read_bytes()).hexdigest() for f in m.emit(tmp_path, users=20)]

def test_bad_input():
    m = shipped()
    for call, message in [(lambda: m.next_probs([1000], [[]]), "user 1000 is not one of 0 … 999"), (lambda: m.next_probs([0], [[-1]]), "history 0 holds"),
                          (lambda: m.next_probs([0, 1], [[]]), "2 users but 1"), (lambda: m.expected_rating(0, -1), "items must lie"),
                          (lambda: m.click_probs(1000, [1]), "user 1000 is not"), (lambda: m.expected_rating(-1, 1), "user -1 is not"),
                          (lambda: mk.simulate(0, 0), "at least one user"), (lambda: mk.simulate(0, 5, 5), "12 to 720"), (lambda: m.emit(".", 0), "at least one")]:
        with pytest.raises(ValueError, match=message): call()
    with pytest.raises(FileNotFoundError, match="log.parquet is not there"): mk.load_market("nowhere")

def test_exercises_have_answers():
    assert np.e/(1 + np.e) == pytest.approx(0.7310586, abs=1e-7)
    assert (2 - 1)/4 == .25
