"The audits on real files, with the numbers they must give, and against slow reference code."
from itertools import permutations
import numpy as np, pandas as pd, pytest
from conftest import real
from p5_nb.data.audit import audit, cold_targets, id_step_ranks, id_step_stats, integer_labels, permute_items, repeat_targets, step_ranks, tie_stats
from p5_nb.data.schema import Interactions, leave_one_out, read_sequences
from p5_nb.index.ids import ItemIndex, as_digits, random_index, sequential_index
from p5_nb.index.leak import cold_distances, leak_test, name_places

# hit@1 and hit@5 of the counting rule, cold test targets: measured once with an independent script
KNOWN = {"Beauty": (.0441, .052, 138), "Sports_and_Outdoors": (.0414, .0458, 317), "Toys_and_Games": (.0435, .0546, 279)}

@pytest.fixture(scope="module", params=list(KNOWN))
def published(request):
    path = real(f"amazon14_sequences/{request.param}.txt")
    return KNOWN[request.param], leave_one_out(Interactions.from_frame(read_sequences(path), name=request.param))

def test_published_numbers_leak(published):
    (hit1, hit5, _), split = published
    ranks = id_step_ranks(split, integer_labels(split.inter))
    assert abs((ranks <= 1).mean() - hit1) < 5.1e-5 and abs((ranks <= 5).mean() - hit5) < 5e-4
    fifths = id_step_stats(split, integer_labels(split.inter))["largest + 1"]
    assert fifths.iloc[0] > 5*fifths.iloc[1:5].max() and abs(fifths["all"] - (ranks == 1).mean()) < 1e-12

def test_dealt_numbers_do_not(published):
    _, split = published
    assert (id_step_ranks(split, np.random.default_rng(0).permutation(integer_labels(split.inter))) <= 5).mean() < .001
    assert (id_step_ranks(split, np.arange(split.n_items)) <= 5).mean() < .001  # our own item numbers carry nothing

def test_the_detector_on_published_and_honest_names(published):
    _, split = published
    order = integer_labels(split.inter).argsort().argsort()
    assert leak_test(ItemIndex(*as_digits(order), "published"), split)["verdict"] == "leaks"
    for honest in (sequential_index(split.sequences(), split.n_items), random_index(split.n_items), ItemIndex(*as_digits(np.arange(split.n_items)), "our own item numbers")):
        assert leak_test(honest, split)["verdict"] == "no sign of a leak"

@pytest.mark.parametrize("seed", range(4))
def test_random_names_do_not_undo_the_shuffle_of_the_log(seed):
    log = Interactions.from_frame(pd.DataFrame({"user": "u", "item": [f"{i:04}" for i in range(500)]}), seed=seed)
    for places in (name_places(random_index(500, seed=seed)), name_places(sequential_index([np.array([0])], 500, seed=seed))):
        assert abs(np.corrcoef(places, integer_labels(log))[0, 1]) < .2
    assert abs(np.corrcoef(np.arange(500), integer_labels(permute_items(log, seed)))[0, 1]) < .2

def test_cold_and_repeated(published):
    (_, _, cold), split = published
    assert cold_targets(split).sum() == cold and not repeat_targets(split).any() and not repeat_targets(split, "valid").any()
    row = audit(split)
    assert row["cold"] == cold and row["repeats"] == 0 and row["tied"] is None and row["held_out"] == split.n_users

def test_ties_on_musical_instruments():
    path = real("amazon14_musical_instruments/Musical_Instruments_5.ratings.csv")
    df = pd.read_csv(path, header=None, usecols=range(4), names=["user", "item", "rating", "time"])
    inter = Interactions.from_frame(df, scale=(1, 5))
    last_two = df.sort_values(["user", "time"], kind="stable").groupby("user").tail(2).groupby("user")
    same = last_two.time.nunique() == 1
    rises = last_two["item"].last() > last_two["item"].first()
    got = tie_stats(leave_one_out(inter))
    assert (len(inter), inter.n_users, inter.n_items, inter.notes) == (10261, 1429, 900, [])
    assert got == dict(held_out=1429, tied=same.mean(), rises_tied=1.0, rises_other=pytest.approx(rises[~same].mean()))
    shuffled = tie_stats(leave_one_out(inter, "shuffle", 0))
    assert shuffled["tied"] == got["tied"] and .4 < shuffled["rises_tied"] < .6

@pytest.mark.parametrize("seed", range(5))
def test_step_ranks_against_loop(seed):
    rng = np.random.default_rng(seed)
    top = rng.integers(1, 30, 200); last = np.minimum(top, rng.integers(1, 30, 200)); target = rng.integers(1, 45, 200)
    want = []
    for m, l, t in zip(top.tolist(), last.tolist(), target.tolist()):
        guesses = list(dict.fromkeys(g for k in range(1, 11) for g in (m + k, l + k)))
        want.append(guesses.index(t) + 1 if t in guesses else np.inf)
    assert step_ranks(top, last, target).tolist() == want

def test_permutation_keeps_the_log():
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"user": rng.integers(0, 20, 200), "item": rng.integers(0, 15, 200)})
    inter = Interactions.from_frame(df, pd.DataFrame({"item": range(15), "title": [f"t{i}" for i in range(15)]}))
    moved = permute_items(inter, 1)
    assert moved.df["item"].tolist() != inter.df["item"].tolist() and moved.notes[-1] == "items numbered anew with seed 1"
    for column in ("item", "title"): assert moved.items[column].to_numpy()[moved.df["item"]].tolist() == inter.items[column].to_numpy()[inter.df["item"]].tolist()
    a, b = leave_one_out(inter), leave_one_out(moved)
    assert np.array_equal(inter.items["item"][a.target("test")], moved.items["item"][b.target("test")])
    assert np.array_equal(cold_targets(a), cold_targets(b)) and np.array_equal(repeat_targets(a), repeat_targets(b))

def test_refusals():
    inter = Interactions.from_frame(pd.DataFrame({"user": ["a"]*3, "item": ["1", "2", "x"]}), name="mixed")
    with pytest.raises(ValueError, match="mixed: item label 'x' is no integer"): integer_labels(inter)
    with pytest.raises(ValueError, match="2 labels for 3 items"): id_step_ranks(leave_one_out(inter), np.array([1, 2]))
    with pytest.raises(ValueError, match="need a column 'time'"): tie_stats(leave_one_out(inter))
    assert audit(leave_one_out(inter)) == dict(held_out=1, cold=1, repeats=0, tied=None, counting_hit5=None)

@pytest.mark.parametrize("seed", range(20))
def test_p_is_the_share_of_arrangements_that_do_as_well(seed, monkeypatch):
    "Seven users, seven items: against all 5,040 arrangements. Equal ones count, though sums of shares differ in the last bit with their order."
    distance, own = np.random.default_rng(seed).integers(0, 2, (7, 7)), np.arange(7)
    monkeypatch.setattr("p5_nb.index.leak.cold_distances", lambda *args: (distance, own))
    farther = (2*(distance[:, None] > distance[..., None]) + (distance[:, None] == distance[..., None])).sum(2)      # whole numbers
    worth = farther[own, np.array(list(permutations(own)))].sum(1)
    assert abs(leak_test(random_index(7), None)["p"] - (worth >= farther[own, own].sum()).mean()) < .07             # four standard errors of 999 swaps

def test_too_few_to_ask_about_is_said(monkeypatch):
    "Both users end with the same one of twelve items: the best of twelve is no evidence."
    monkeypatch.setattr("p5_nb.index.leak.cold_distances", lambda *args: (np.tile(np.arange(12), (2, 1)), np.array([0, 0])))
    assert leak_test(random_index(12), None)["verdict"].startswith("cannot tell")
