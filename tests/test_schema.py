"The table and its splits: real files, random logs against slow reference code, and every kind of damage."
import numpy as np, pandas as pd, pytest
from conftest import real
from p5_nb.data.schema import (Interactions, clean, fingerprint, k_core, leave_one_out, load_negatives, negatives, read_sequences, save_negatives, seconds,
                               temporal_split)

PAPER = {"Beauty": (22363, 12101, 198502, 0.0734, 8.8764, 16.4038, 5, 204, 6), "Sports_and_Outdoors": (35598, 18357, 296337, 0.0453, 8.3245, 16.1430, 5, 296, 6),
         "Toys_and_Games": (19412, 11924, 167597, 0.0724, 8.6337, 14.0554, 5, 550, 6)}

def random_log(seed, n=400, users=40, items=30, days=20):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({"user": [f"u{u}" for u in rng.integers(0, users, n)], "item": [f"i{i}" for i in rng.integers(0, items, n)], "time": 86_400*rng.integers(1, days, n)})
    return df.drop_duplicates().reset_index(drop=True)

@pytest.fixture(scope="module", params=list(PAPER))
def published(request):
    path = real(f"amazon14_sequences/{request.param}.txt")
    return request.param, path, Interactions.from_frame(read_sequences(path), name=request.param)

def test_paper_table(published):
    name, _, inter = published
    assert tuple(round(v, 4) for v in inter.stats().values()) == PAPER[name]
    assert len(k_core(inter, 5)) == len(inter) and not inter.notes

def test_published_sequences_survive(published):
    _, path, inter = published
    split, label = leave_one_out(inter), inter.items["item"].to_numpy()
    learn = split.sequences()
    for u, line in enumerate(path.read_text().splitlines()):
        user, *items = line.split()
        assert inter.users[u] == user and label[learn[u]].tolist() == items[:-2]
        assert [label[split.target("valid")[u]], label[split.target("test")[u]]] == items[-2:]
    assert split.ties == "file" and "no times" in split.notes[0] and len(split.users("test")) == inter.n_users

def test_negatives_on_published(published):
    _, _, inter = published
    split = leave_one_out(inter)
    drawn = negatives(split, "test", 99, seed=1)
    assert drawn.shape == (inter.n_users, 99) and drawn.min() >= 0 and drawn.max() < inter.n_items
    assert (np.diff(np.sort(drawn, 1)) > 0).all()
    whole = pd.MultiIndex.from_frame(inter.df[["user", "item"]])
    assert not pd.MultiIndex.from_arrays([np.repeat(split.users("test"), 99), drawn.ravel()]).isin(whole).any()
    assert np.array_equal(drawn, negatives(split, "test", 99, seed=1)) and not np.array_equal(drawn, negatives(split, "test", 99, seed=2))

@pytest.mark.parametrize("seed", range(5))
def test_leave_one_out_against_loop(seed):
    df = random_log(seed)
    inter = Interactions.from_frame(df, name="random")
    split, label = leave_one_out(inter), inter.items["item"].to_numpy()
    want = {u: rows.sort_values("time", kind="stable")["item"].tolist() for u, rows in df.groupby("user")}
    long = [u for u in inter.users if len(want[u]) >= 3]
    assert inter.users.tolist() == df.user.drop_duplicates().tolist()
    assert inter.users[split.users("test")].tolist() == long == inter.users[split.users("valid")].tolist()
    for row, u in enumerate(long):
        assert label[split.target("test")[row]] == want[u][-1] and label[split.target("valid")[row]] == want[u][-2]
        assert label[split.history("test")[row]].tolist() == want[u][:-1] and label[split.seen("valid")[row]].tolist() == want[u][:-2]
    for u, s in zip(inter.users, split.sequences()): assert label[s].tolist() == (want[u][:-2] if u in long else want[u])
    assert len(split.train) + len(split.valid) + len(split.test) == len(inter)
    assert split.train["item"].tolist() == np.concatenate(split.sequences()).tolist()

@pytest.mark.parametrize("seed", range(5))
def test_shuffled_ties_move_only_ties(seed):
    inter = Interactions.from_frame(random_log(seed, days=6))
    by_file, drawn = leave_one_out(inter), leave_one_out(inter, "shuffle", seed)
    for part in ("train", "valid", "test"): assert getattr(drawn, part).time.tolist() == getattr(by_file, part).time.tolist()
    assert drawn.order.tolist() != by_file.order.tolist() and drawn.ties == "shuffle"
    assert drawn.order.tolist() == leave_one_out(inter, "shuffle", seed).order.tolist()

@pytest.mark.parametrize("seed", range(5))
def test_temporal_split_against_loop(seed):
    df = random_log(seed)
    inter = Interactions.from_frame(df, name="random")
    split, label = temporal_split(inter, 0.2, 0.2), inter.items["item"].to_numpy()
    first, second = np.quantile(df.time, [.6, .8])
    for part, low, high in (("valid", first, second), ("test", second, np.inf)):
        want = {}
        for u, rows in df.groupby("user"):
            rows = rows.sort_values("time", kind="stable")
            inside = rows[(rows.time > low) & (rows.time <= high)]
            if len(inside): want[u] = (rows["item"].tolist()[:(rows.time <= low).sum()], inside["item"].iloc[0])
        got = {inter.users[u]: (label[h].tolist(), label[t]) for u, h, t in zip(split.users(part), split.history(part), split.target(part))}
        assert got == want
    assert sum(map(len, split.sequences())) == (df.time <= first).sum() and inter.notes == []

def test_temporal_notes_count_the_new():
    df = pd.DataFrame({"user": list("aabbc") + ["a"], "item": list("xyxyz") + ["w"], "time": [1, 2, 1, 2, 3, 4]})
    split = temporal_split(Interactions.from_frame(df), 0.2, 0.2)
    assert split.notes == ("valid: 1 of 1 held-out items never occur in learning; 1 users are new", "test: 1 of 1 held-out items never occur in learning; 0 users are new")
    with pytest.raises(ValueError, match="window is empty"): temporal_split(Interactions.from_frame(df.assign(time=5, item=list("abcdef"))))

@pytest.mark.parametrize("k", [2, 3, 5, 7])
def test_k_core_equals_networkx(k):
    nx = pytest.importorskip("networkx")
    df = random_log(k, n=350)[["user", "item"]].drop_duplicates()
    want = nx.k_core(nx.Graph([(f"U{u}", f"I{i}") for u, i in zip(df.user, df["item"])]), k)
    inter = Interactions.from_frame(df)
    if not want.number_of_edges():
        with pytest.raises(ValueError, match="choose a smaller k"): k_core(inter, k)
        return
    core = k_core(inter, k)
    got = {frozenset((f"U{core.users[u]}", f"I{core.items['item'][i]}")) for u, i in zip(core.df.user, core.df["item"])}
    assert got == {frozenset(e) for e in want.edges} and core.df.user.max() + 1 == core.n_users and core.df["item"].nunique() == core.n_items

DAMAGE = [
    ({"user": ["a", " "]}, "1 row dropped for an empty user or item (first: row 2)"),
    ({"item": ["x", None]}, "1 row dropped for an empty user or item (first: row 2)"),
    ({"rating": [5, np.nan]}, "1 row dropped for a rating that is not a number (first: row 2)"),
    ({"rating": ["5", "five"]}, "1 row dropped for a rating that is not a number (first: row 2)"),
    ({"rating": [np.inf, 4]}, "1 row dropped for a rating that is not a number (first: row 1)"),
    ({"rating": [0, 4]}, "1 row dropped for a rating outside the scale 1 to 5 (first: row 1)"),
    ({"time": [1e9, np.nan]}, "1 row dropped for a time that is not a number (first: row 2)"),
    ({"user": ["a", "a"], "item": ["x", "x"], "rating": [4, 4]}, "1 row dropped for being an exact copy of an earlier row (first: row 2)"),
    ({"time": [1.2e12, 1.3e12]}, "times were in milliseconds; divided by 1,000"),
    ({"time": [1.2e15, 1.3e15]}, "times were in microseconds; divided by 1,000,000"),
    ({"time": [1.2e9, 3e9]}, "1 time lies in the future; kept, but check the clock or the unit of the source"),
]

@pytest.mark.parametrize("change,note", DAMAGE)
def test_damage_is_reported_or_refused(change, note):
    df = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "rating": [5, 4], "time": [10**9, 10**9]}).assign(**change)
    inter = Interactions.from_frame(df, name="d", scale=(1, 5), now=1.6e9)
    assert inter.notes == [note] and len(inter) == (1 if "dropped" in note else 2)
    with pytest.raises(ValueError, match="^d: refused because strict=True: ") as e: Interactions.from_frame(df, name="d", scale=(1, 5), now=1.6e9, strict=True)
    assert note in str(e.value)

def test_no_damage_no_note():
    df = pd.DataFrame({"user": [1, 2], "item": [7, 8], "rating": [5, 4], "time": pd.to_datetime(["2014-01-01", "2014-01-02"])})
    inter = Interactions.from_frame(df, strict=True)
    assert inter.notes == [] and inter.df.time.tolist() == [1388534400, 1388620800] and inter.users.tolist() == ["1", "2"]
    assert [str(inter.df[c].dtype) for c in ("user", "item", "rating", "time")] == ["int32", "int32", "float32", "int64"]
    assert df.time.dtype.kind == "M" and df.user.tolist() == [1, 2]  # the caller's frame is untouched

def test_lists_in_a_column():
    df = pd.DataFrame({"user": ["a", "a"], "item": ["x", "x"], "time": [10**9]*2, "helpful": [[0, 1], [0, 1]]})
    assert len(Interactions.from_frame(df)) == 1

def test_repeats_without_times_stay():
    inter = Interactions.from_frame(pd.DataFrame({"user": ["a"]*3, "item": ["x", "y", "x"]}))
    assert len(inter) == 3 and inter.notes[0].startswith("1 rows repeat")

def test_missing_columns_and_empty_frames():
    with pytest.raises(ValueError, match=r"log\.csv: there is no column 'item'; the columns are user, items\. Did you mean 'items'\?"): clean(pd.DataFrame(columns=["user", "items"]), "log.csv")
    with pytest.raises(ValueError, match="no usable row"): Interactions.from_frame(pd.DataFrame({"user": [], "item": []}))
    with pytest.raises(ValueError, match="no usable row"): Interactions.from_frame(pd.DataFrame({"user": ["a"], "item": ["x"], "time": ["soon"]}))

def test_catalogue_is_joined_and_counted():
    items = pd.DataFrame({"item": ["y", "z", "y"], "title": ["Y", "Z", "again"]})
    inter = Interactions.from_frame(pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]}), items)
    assert dict(zip(inter.items["item"], inter.items.title.fillna("?"))) == {"x": "?", "y": "Y"}
    assert inter.notes == ["catalogue: 1 rows repeat an item and were left out", "catalogue: 1 items never occur in the log and were left out", "catalogue: 1 items of the log have no row in it"]

def test_item_numbers_do_not_follow_labels():
    df = pd.DataFrame({"user": ["a"]*500, "item": [str(i) for i in range(500)]})
    inter = Interactions.from_frame(df)
    assert abs(np.corrcoef(inter.df["item"], np.arange(500))[0, 1]) < 0.2
    back = Interactions.from_frame(df[::-1].reset_index(drop=True))
    assert inter.items.equals(back.items)  # numbers depend on the labels, not on the order of the file

def test_seconds_keeps_small_times(): assert seconds(pd.Series([0, 86_400]))[0].tolist() == [0, 86_400]

def test_split_is_immutable():
    split = leave_one_out(Interactions.from_frame(random_log(0)))
    for a in (split.order, split.item, split.user, split.users("test"), split.target("valid"), split.sequences()[0], split.history("test")[0], split.seen("valid")[0]):
        with pytest.raises(ValueError, match="read-only"): a[0] = 0
    with pytest.raises(AttributeError): split.inter = None
    frame = split.train; frame["item"] = -1
    assert (split.train["item"] >= 0).all()
    before = split.target("test").copy()
    split.inter.df["item"] = 0
    assert np.array_equal(before, split.target("test"))

@pytest.mark.parametrize("free,n", [(1, 1), (5, 5), (40, 39)])
def test_negatives_when_few_are_free(free, n):
    items = [f"i{i}" for i in range(free + 4)]
    df = pd.DataFrame({"user": ["a"]*4 + ["b"]*len(items), "item": items[:4] + items})
    inter = Interactions.from_frame(df)
    split = leave_one_out(k_core(inter, 1))
    with pytest.raises(ValueError, match="must be from 1 to 0"): negatives(split, "test", n)  # b has everything
    solo = leave_one_out(Interactions.from_frame(pd.concat([df[:4], pd.DataFrame({"user": [f"x{i}" for i in range(free)], "item": items[4:]})])))
    drawn = negatives(solo, "valid", n, seed=3)
    assert drawn.shape == (1, n) and len(set(drawn[0])) == n and not set(drawn[0]) & set(solo.item[:4])
    with pytest.raises(ValueError, match=f"must be from 1 to {free}"): negatives(solo, "valid", free + 1)
    with pytest.raises(ValueError): negatives(solo, "valid", 0)

def test_negatives_file(tmp_path):
    split = leave_one_out(Interactions.from_frame(random_log(1)))
    drawn, path = negatives(split, "test", 5), tmp_path/"n.safetensors"
    save_negatives(drawn, path, split, "test")
    assert np.array_equal(load_negatives(path, split, "test"), drawn) and [p.name for p in tmp_path.iterdir()] == ["n.safetensors"]
    other = leave_one_out(Interactions.from_frame(random_log(1), seed=9))  # same log, other numbers
    assert fingerprint(other, "test") != fingerprint(split, "test")
    with pytest.raises(ValueError, match="another split or numbering"): load_negatives(path, other, "test")
    raw = bytearray(path.read_bytes()); raw[-3] ^= 4; path.write_bytes(raw)
    with pytest.raises(ValueError, match="SHA-256; draw them again"): load_negatives(path, split, "test")

def test_html_is_escaped():
    inter = Interactions.from_frame(pd.DataFrame({"user": ["<b>u"]*3, "item": ["<script>1", "<script>2", "<script>3"], "text": ["<img>"]*3}), name="<i>n")
    inter.notes.append("<u>")
    for page in (inter._repr_html_(), leave_one_out(inter)._repr_html_()):
        for tag in ("<script>", "<img>", "<i>", "<b>u", "<u>"): assert tag not in page

def test_refusals():
    inter = Interactions.from_frame(random_log(0))
    with pytest.raises(ValueError, match="choose 'file' or 'shuffle'"): leave_one_out(inter, "random")
    with pytest.raises(ValueError, match="choose 'train', 'valid' or 'test'"): leave_one_out(inter).target("tset")
    untimed = Interactions.from_frame(random_log(0)[["user", "item"]].drop_duplicates())
    with pytest.raises(ValueError, match="no ties to shuffle"): leave_one_out(untimed, "shuffle")
    with pytest.raises(ValueError, match="use leave_one_out"): temporal_split(untimed)
    with pytest.raises(ValueError, match="above 0"): temporal_split(inter, 0, 0.1)
