"What is written in a format and read back is the log that went out."
import json
import numpy as np, pandas as pd, pytest
from hypothesis import given, settings, strategies as st, HealthCheck
from conftest import real
from p5_nb.data.loaders import lcrec, load, recbole
from p5_nb.data.schema import Interactions
from p5_nb.data.writers import write_lcrec, write_recbole, write_sequences

def histories(log, user=None, item=None):
    "User label → item labels in time order, without the code under test."
    user, item = log.users.to_numpy() if user is None else user, log.items["item"].to_numpy() if item is None else item
    time = log.df.time if "time" in log.df else [0]*len(log)
    found = {}
    for t, n, u, i in sorted(zip(time, range(len(log)), log.df.user, log.df["item"])): found.setdefault(user[u], []).append(item[i])
    return found

def from_sequences(path):
    "Histories by label, through the id map."
    back, maps = load(path), json.loads(path.with_suffix(".datamaps.json").read_text())
    return histories(back, np.array([maps["id2user"][u] for u in back.users]), back.items.asin.to_numpy())

def same(a, b):
    assert list(a.users[a.df.user]) == list(b.users[b.df.user])
    assert list(a.items["item"].to_numpy()[a.df["item"]]) == list(b.items["item"].to_numpy()[b.df["item"]])
    for c in a.df.columns.difference(["user", "item"]): assert a.df[c].tolist() == b.df[c].tolist(), c

def small(**extra): return Interactions.from_frame(pd.DataFrame({"user": ["b", "a", "b"], "item": ["y", "y", "x"], **extra}), name="small")

def test_market_round_trips(tmp_path):
    market = load("market")
    same(market, recbole(write_recbole(market, tmp_path)))
    assert histories(lcrec(write_lcrec(market, tmp_path))) == histories(market)
    assert from_sequences(write_sequences(market, tmp_path)) == histories(market)

def test_market_catalogue_survives(tmp_path):
    market = load("market")
    for back in (recbole(write_recbole(market, tmp_path)), lcrec(write_lcrec(market, tmp_path))):
        a, b = market.items.set_index("item"), back.items.set_index("item").loc[market.items["item"]]
        assert a.title.tolist() == b.title.tolist() and a.price.tolist() == b.price.tolist()

def test_beauty_round_trips(tmp_path):
    real("amazon14_sequences/Beauty.txt")
    log = load("beauty")
    assert from_sequences(write_sequences(log, tmp_path)) == histories(log)
    assert histories(lcrec(write_lcrec(log, tmp_path))) == histories(log)

def test_gift_cards_round_trip_with_texts(tmp_path):
    real("amazon18_gift_cards/Gift_Cards_5.json.gz")
    log = load("gift-cards")
    back = recbole(write_recbole(log, tmp_path))
    assert len(back) == len(log) and back.df.time.tolist() == log.df.time.tolist() and back.df.rating.tolist() == log.df.rating.tolist()
    flat = log.df.text.fillna("").str.split().str.join(" ")
    assert back.df.text.fillna("").tolist() == flat.tolist()      # blanks, tabs and line breaks become one blank

def test_equal_times_keep_file_order(tmp_path):
    assert histories(lcrec(write_lcrec(small(time=[5, 5, 5]), tmp_path))) == {"b": ["y", "x"], "a": ["y"]}
    assert histories(lcrec(write_lcrec(small(time=[5, 5, 4]), tmp_path))) == {"b": ["x", "y"], "a": ["y"]}

def test_numbers_do_not_follow_first_occurrence(tmp_path):
    rows = pd.DataFrame({"user": np.repeat(np.arange(30), 5), "item": np.arange(150)})
    text = write_sequences(Interactions.from_frame(rows, name="s"), tmp_path).read_text()
    numbers = [int(t) for line in text.splitlines() for t in line.split()[1:]]
    assert sorted(numbers) == list(range(1, 151)) and abs(np.corrcoef(numbers, range(150))[0, 1]) < .3

def test_what_is_left_out_is_said(tmp_path, capsys):
    write_lcrec(small(rating=[1, 2, 3], time=[1, 2, 3]), tmp_path)
    assert "no place for rating, time" in capsys.readouterr().out

@pytest.mark.parametrize("label", ["a b", "a\tb", "a\nb"])
def test_labels_that_would_change_are_refused(tmp_path, label):
    log = Interactions.from_frame(pd.DataFrame({"user": ["u"], "item": [label]}), name="odd")
    with pytest.raises(ValueError, match="odd.txt: the item label"): write_sequences(log, tmp_path)
    if label != "a b":
        for write in (write_recbole, write_lcrec):
            with pytest.raises(ValueError, match="would be lost"): write(log, tmp_path)
    assert not list(tmp_path.glob("*.txt")) and not list(tmp_path.glob("*.inter*"))

def test_tokens_must_fit(tmp_path):
    with pytest.raises(ValueError, match="1 token names for 2 items"): write_lcrec(small(), tmp_path, tokens=[["<a_1>"]])

word = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters='"'), min_size=1, max_size=6)

@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(word, word, st.sampled_from([1., 2.5, 5.]), st.integers(10**9, 15*10**8)), min_size=1, max_size=30, unique_by=lambda r: r))
def test_any_labels_round_trip(tmp_path, rows):
    log = Interactions.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating", "time"]), name="any")
    same(log, recbole(write_recbole(log, tmp_path)))
    assert histories(lcrec(write_lcrec(log, tmp_path))) == histories(log)
    assert from_sequences(write_sequences(log, tmp_path)) == histories(log)
