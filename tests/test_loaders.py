"Loaders on real files, on every fault a file can have, and on the market written in each format."
import gzip, json, re
from pathlib import Path
import numpy as np, pandas as pd, pytest
from conftest import real
from p5_nb.data import loaders
from p5_nb.data.loaders import amazon, amazon_csv, lcrec, load, movielens, own_table, read_codes, read_lines, recbole, sequences, toys, translate, yelp
from p5_nb.data.schema import Interactions, read_sequences

OK = "user,item,rating,time\nann,soap,5,1400000000\nbob,comb,4,1400000001\n"

def labels(log): return list(zip(log.users[log.df.user], log.items["item"].to_numpy()[log.df["item"]]))
def note(log, pattern): return next((n for n in log.notes if re.search(pattern, n)), None)
def put(path, content): (path.write_bytes if isinstance(content, bytes) else path.write_text)(content); return path

# ---- real files

PAPER = {"Beauty": (22363, 12101, 198502), "Sports_and_Outdoors": (35598, 18357, 296337), "Toys_and_Games": (19412, 11924, 167597)}

@pytest.mark.parametrize("name", PAPER)
def test_sequences_have_the_papers_counts(name):
    s = sequences(real(f"amazon14_sequences/{name}.txt")).stats()
    assert (s["users"], s["items"], s["interactions"]) == PAPER[name]

def test_sequences_equal_from_frame():
    path = real("amazon14_sequences/Beauty.txt")
    ours, theirs = sequences(path), Interactions.from_frame(read_sequences(path))
    pd.testing.assert_frame_equal(ours.df, theirs.df)
    assert list(ours.items["item"]) == list(theirs.items["item"]) and list(ours.users) == list(theirs.users)

def test_beauty_joins_exactly():
    real("amazon14_idmaps/beauty/datamaps.json"); real("amazon14_item_text/Beauty.txt")
    items = load("beauty").items
    assert items.title.notna().all() and items.asin.is_unique
    assert items.set_index("item").asin["1"] == "B004756YJA"
    by_asin = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in real("amazon14_item_text/Beauty.txt").read_text().splitlines()}
    assert (items.title == items.asin.map(by_asin)).all()

def test_attribute_names_of_another_numbering_are_not_joined():
    maps, has = (json.loads(real(f).read_text()) for f in ("amazon14_idmaps/beauty/datamaps.json", "amazon14_sequences/Beauty_item2attributes.json"))
    assert maps["id2attribute"]["2"] == "Makeup" and maps["attributeid2num"]["2"] == 2627 and sum(2 in a for a in has.values()) == 2546
    log = load("beauty")
    assert note(log, "attributes stay numbers") and log.items.set_index("item").attributes["4"] == "1 | 2 | 3"

LEGO = r"\blego\b"

def test_toys_titles_agree_with_attributes():
    "Neither the map nor the matching saw the attributes: items whose text says lego must share one."
    real("amazon14_idmaps/toys/sequential.txt"); label = json.loads(real("amazon14_idmaps/toys/datamaps.json").read_text())["id2item"]
    items = load("toys").items
    bricks = items.attributes.str.split(" | ", regex=False).map(lambda a: "61" in a)
    share = lambda lego: bricks[lego.index].mean()
    assert bricks.mean() < .1
    assert share(items[items.title.str.contains(LEGO)]) > .9
    by_number = items["item"].map(label).map(items.set_index("asin").title)
    assert share(items[by_number.str.contains(LEGO)]) < .5

def test_toys_map_is_translated_not_joined_by_number(tmp_path):
    path, id_map, other = real("amazon14_sequences/Toys_and_Games.txt"), real("amazon14_idmaps/toys/datamaps.json"), real("amazon14_idmaps/toys/sequential.txt")
    log, label = load("toys"), json.loads(id_map.read_text())["id2item"]
    assert note(log, "all 11,924 items were matched")
    asin = log.items.asin.to_numpy()
    baskets = lambda d: sorted(d.groupby("user")["item"].agg(lambda s: " ".join(sorted(s))))
    ours, theirs = log.df.assign(item=asin[log.df["item"]]), read_sequences(other).assign(item=lambda d: d["item"].map(label))
    assert baskets(ours) == baskets(theirs)                     # the same users bought the same products
    by_number = log.items["item"].map(label)
    assert (by_number == log.items.asin).mean() < .01           # a join by number would have been wrong nearly everywhere

def test_toys_without_the_numbered_file_stays_without_titles():
    log = toys(real("amazon14_sequences/Toys_and_Games.txt"), real("amazon14_idmaps/toys/datamaps.json"), None, real("amazon14_item_text/Toys.txt"))
    assert list(log.items) == ["item"]

def test_toys_map_is_refused_for_beauty():
    with pytest.raises(ValueError, match="belongs to another file"): sequences(real("amazon14_sequences/Beauty.txt"), real("amazon14_idmaps/toys/datamaps.json"))

def test_cut_archives_give_what_is_whole():
    reviews, meta = real("amazon14_digital_music/reviews_Digital_Music_5.head.json.gz"), real("amazon14_digital_music/meta_Digital_Music.head.json.gz")
    import zlib
    whole = zlib.decompressobj(31).decompress(reviews.read_bytes()).count(b"\n")      # counted without the reader under test
    log = amazon(reviews, meta)
    assert len(log) == whole == 6908 and log.n_items == 382 and "price" in log.items
    assert note(log, "reviews.*damaged after line 6,908") and note(log, "meta.*damaged after line 7,419") and not note(log, "no row in it")
    with pytest.raises(ValueError, match="strict=True.*damaged"): amazon(reviews, strict=True)

def test_gift_cards():
    log = amazon(real("amazon18_gift_cards/Gift_Cards_5.json.gz"), real("amazon18_gift_cards/meta_Gift_Cards.json.gz"))
    assert (len(log), log.n_users, log.n_items) == (2972, 458, 148)
    assert not log.items.title.str.contains("&#|&amp;|<").any() and note(log, "4 prices are no single number")
    assert set(log.items.category.dropna()) <= {"Gift Cards", "Gift Card Accessories"}

def test_all_beauty_copies_are_counted():
    path = real("amazon18_all_beauty/All_Beauty_5.json.gz")
    rows = [json.loads(line) for line in gzip.open(path, "rt")]
    distinct = {tuple(r.get(f) for f in loaders.REVIEW) for r in rows}
    log = load("all-beauty")
    assert len(rows) == 5269 and (log.n_users, log.n_items) == (991, 85)
    assert len(log) == len(distinct) == 4219 and note(log, "1,050 rows dropped for being an exact copy")

def test_musical_instruments():
    reviews, log = amazon_csv(real("amazon14_musical_instruments/Musical_instruments_reviews.csv")), load("musical")
    assert (log.n_users, log.n_items, len(reviews)) == (1381, 392, 5050)
    ratings = amazon_csv(real("amazon14_musical_instruments/Musical_Instruments_5.ratings.csv"))
    assert len(ratings) == 10261 and (ratings.df.time % 86400 == 0).all()             # whole days

def test_movielens_latest_small():
    log = movielens(real("ml_latest_small"))
    assert (len(log), log.n_users, log.n_items) == (100836, 610, 9724) and note(log, "read 9,742 rows")
    assert log.items.set_index("item").title["1"] == "Toy Story (1995)"

def test_lastfm_and_ctr_samples():
    log = load(real("lastfm2k_multimodal/lfm2k.inter"))
    assert len(log) == 56345 and log.n_items == 1425 and note(log, "left out: x_label") and note(log, "no times")
    assert len(load(real("ctr_samples/movielens_sample.txt"), user="user_id")) == 200
    with pytest.raises(ValueError, match="which column is the user"): load(real("ctr_samples/criteo_sample.txt"), time="I1")

def test_every_registered_file_has_its_sha256():
    from p5_nb.core import find_file
    from p5_nb.data.download import FILES, digest
    real("amazon14_sequences/Beauty.txt")
    for name, (_, _, known) in FILES.items():
        if known and find_file(name): assert digest(find_file(name)) == known, name

# ---- faults, one by one

@pytest.mark.parametrize("content, message", [
    (OK.encode() + b"ann,cr\xe8me,3,1400000002\n", r"1 line is not UTF-8 and read as Latin-1 \(first: line 4\)"),
    (OK + "ann,soap\n", r"1 of 3 rows are malformed and left out \(first: line 4: 2 columns instead of 4\)"),
    (OK + 'ann,"soap,5,3\nbob,towel,4,4\n', r"line 4: a quote is opened and never closed, which takes the 1 lines behind it along"),
    (OK + "bob,comb,4,1400000001\n", r"1 row dropped for being an exact copy of an earlier row \(first: line 4\)"),
    (OK + ",comb,4,1400000001\n", r"an empty user or item \(first: line 4\)"),
    (OK + "ann,comb,nan,1400000001\n", r"a rating that is not a number \(first: line 4\)"),
    (OK + "ann,comb,4,soon\n", r"a time that is not a number \(first: line 4\)"),
    (OK.replace(",14000000", ",14000000000"), "times were in milliseconds"),
    (OK + "ann,comb,4,32503680000\n", "1 time lies in the future")])
def test_fault_is_reported_and_refused_when_strict(tmp_path, content, message):
    path = put(tmp_path/"bad.csv", content)
    log = load(path)
    assert note(log, message) and labels(log)[:2] == [("ann", "soap"), ("bob", "comb")]
    with pytest.raises(ValueError, match=f"bad.csv.*strict=True.*{message}"): load(path, strict=True)

def test_byte_order_mark_does_no_harm(tmp_path):
    assert labels(load(put(tmp_path/"a.csv", b"\xef\xbb\xbf" + OK.encode()), strict=True)) == [("ann", "soap"), ("bob", "comb")]

def test_utf16_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="UTF-16.*save it as UTF-8"): load(put(tmp_path/"a.csv", OK.encode("utf-16")))

def test_lines_after_skipped_ones_keep_their_numbers(tmp_path):
    log = load(put(tmp_path/"a.csv", OK + "x\n\nann,\"co\nmb\",4,1400000005\nann,towel,,1400000006\n"))
    assert note(log, r"rating.*\(first: line 8\)") and ("ann", "co\nmb") in labels(log)

@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_cut_gzip(tmp_path, cut):
    rng, review = np.random.default_rng(0), lambda n: json.dumps({"reviewerID": f"u{n}", "asin": f"i{n % 9}", "overall": 5, "unixReviewTime": 1400000000 + n, "reviewText": str(rng.integers(10**15))})
    text = "\n".join(map(review, range(2000))) + "\n"
    packed = gzip.compress(text.encode())
    path = put(tmp_path/"r.json.gz", packed[:int(cut*len(packed))])
    log = load(path)
    assert 0 < len(log) < 2000 and note(log, f"damaged after line {len(log):,}")
    assert list(log.users) == [f"u{n}" for n in range(len(log))]
    with pytest.raises(ValueError, match="damaged"): load(path, strict=True)

def test_damaged_gzip_in_the_middle(tmp_path):
    packed = bytearray(gzip.compress(("\n".join(json.dumps({"reviewerID": f"u{n}", "asin": str(n*7919 % 1013)}) for n in range(5000))).encode()))
    packed[len(packed)//2] ^= 0xff
    path = put(tmp_path/"r.json.gz", bytes(packed))
    try: assert note(load(path), "damaged|malformed")
    except ValueError as e: assert "r.json.gz" in str(e)

def test_malformed_objects_are_named(tmp_path):
    good = '{"reviewerID": "a", "asin": "b", "overall": 4, "unixReviewTime": 1400000000}'
    path = put(tmp_path/"r.json", "\n".join([good, "{oops", "[1]", "", "__import__('os')", good.replace('"a"', '"c"')]))
    log = load(path)
    assert len(log) == 2 and note(log, r"3 of 6 lines are malformed.*line 2") and note(log, "3 kinds of fault|2 kinds of fault")
    with pytest.raises(ValueError, match="strict=True.*line 2"): load(path, strict=True)

def test_strict_accepts_good_files(tmp_path):
    path = put(tmp_path/"r.json", '{"reviewerID": "a", "asin": "b", "overall": 4, "unixReviewTime": 1400000000}\n')
    meta = put(tmp_path/"m.json", "{'asin': 'b', 'title': 'B'}\n{'asin': 'c', 'title': 'C'}\n")
    assert amazon(path, meta, strict=True).items.title.tolist() == ["B"]

def test_literals_are_not_run(tmp_path):
    flag = tmp_path/"flag"
    path = put(tmp_path/"m.json", f"{{'asin': 'b', 'title': open({str(flag)!r}, 'w')}}\n")
    meta_notes = []
    assert len(loaders.read_objects(path, loaders.META, meta_notes)) == 0 and not flag.exists() and "malformed" in meta_notes[0]

def test_deep_nesting_is_malformed_not_fatal(tmp_path):
    notes = []
    assert len(loaders.read_objects(put(tmp_path/"m.json", "{'a': " + "["*5000 + "\n{'asin': 'x'}\n"), {"asin": "item"}, notes)) == 1

# ---- sequences

def test_sequence_faults(tmp_path):
    path = put(tmp_path/"s.txt", "1 10 20\n2\n3 10 x\n1 30\n\n")
    notes = []
    who, what, users, items = read_codes(path, notes)
    assert users == ["1"] and items == ["10", "20", "30"] and what.tolist() == [0, 1, 2]
    assert "2 of 5 lines are malformed" in notes[1] and "line 2: a user without items" in notes[1] and "go on with a user" in notes[0]
    with pytest.raises(ValueError, match="strict=True"): sequences(path, strict=True)

def test_sequences_of_names(tmp_path): assert labels(load(put(tmp_path/"s.txt", "ann soap comb\nbob comb\n"))) == [("ann", "soap"), ("ann", "comb"), ("bob", "comb")]

def test_empty_sequence_file(tmp_path):
    with pytest.raises(ValueError, match="the file is empty"): load(put(tmp_path/"s.txt", ""))

@pytest.mark.parametrize("seed", range(5))
def test_translate_finds_a_hidden_numbering(seed):
    rng = np.random.default_rng(seed)
    user, item = np.repeat(np.arange(80), 7), np.concatenate([rng.choice(50, 7, replace=False) for _ in range(80)])
    item = np.unique(item, return_inverse=True)[1]
    hidden, shuffled, rows = rng.permutation(item.max() + 1), rng.permutation(80), rng.permutation(len(user))
    assert np.array_equal(translate((user, item), (shuffled[user][rows], hidden[item][rows])), hidden)

def test_translate_refuses_twins_and_strangers():
    twins = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="cannot be told apart"): translate(twins, twins)
    with pytest.raises(ValueError, match="not the same log"): translate(twins, (np.array([0, 0, 1]), np.array([0, 1, 1])))

# ---- formats

def test_old_movielens_is_latin1_without_complaint(tmp_path):
    for name in ("ml-1m", "ml-100k"): (tmp_path/name).mkdir()
    put(tmp_path/"ml-1m/ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n"); put(tmp_path/"ml-1m/movies.dat", "661::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1"))
    put(tmp_path/"ml-100k/u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n"); put(tmp_path/"ml-100k/u.item", ("242|Kolya \"K\" (1996)|24-Jan-1997||http://x|" + "|".join("0"*19) + "\n").encode("latin-1"))
    m1, k100 = load(tmp_path/"ml-1m", strict=True), load(tmp_path/"ml-100k", strict=True)
    assert m1.items.set_index("item").title["661"] == "Misérables, Les (1995)" and m1.df.time.tolist() == [978300760, 978302109] and not note(m1, "UTF-8")
    assert k100.items.set_index("item").title["242"] == 'Kolya "K" (1996)'

def test_yelp(tmp_path):
    reviews = put(tmp_path/"r.json", "\n".join(json.dumps(dict(user_id="u", business_id=b, stars=4.0, date=d, text="ok")) for b, d in (("x", "2018-07-07 22:09:11"), ("y", "never"))))
    log = yelp(reviews, put(tmp_path/"b.json", json.dumps(dict(business_id="x", name="Café", categories="Food, Coffee", city="Reno"))))
    assert log.df.time.tolist() == [1531001351] and log.items.title.tolist() == ["Café"] and note(log, "a time that is not a number.*line 2")

def test_recbole_without_types_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'user_id' has no type"): recbole(put(tmp_path/"a.inter", "user_id\titem_id\n1\t2\n"))

def test_lcrec_shape_is_checked(tmp_path):
    with pytest.raises(ValueError, match="at '7' there is no list"): lcrec(put(tmp_path/"a.inter.json", '{"7": 3}'))
    with pytest.raises(ValueError, match="there is no list"): lcrec(put(tmp_path/"a.inter.json", "[1]"))

def test_parquet_and_dates(tmp_path):
    pd.DataFrame({"customer_id": [1, 2, 2], "SKU": ["a", "a", "b"], "date": pd.to_datetime(["2024-05-01", "2024-05-02", None])}).to_parquet(tmp_path/"x.parquet")
    log = load(tmp_path/"x.parquet")
    assert labels(log) == [("1", "a"), ("2", "a")] and log.df.time.tolist() == [1714521600, 1714608000]

def test_own_table_says_what_it_guessed_and_how_to_name(tmp_path):
    path = put(tmp_path/"x.csv", "who,what\n1,2\n")
    with pytest.raises(ValueError, match=r"The columns are who, what. Say it: load\(.*user='…'\).*--user NAME"): load(path)
    assert note(load(path, user="who", item="what"), "columns: user = who, item = what")
    with pytest.raises(ValueError, match="x.csv.*no column 'wer'"): load(path, user="wer")

def test_many_rows_cross_the_frame_border(tmp_path):
    n = 120_001
    path = put(tmp_path/"big.csv", "user,item,time\n" + "".join(f"u{i},i{i % 97},{1400000000 + i}\n" for i in range(n)))
    log = own_table(path)
    assert len(log) == n and log.users[-1] == f"u{n - 1}" and log.df.time.iloc[-1] == 1400000000 + n - 1

# ---- by name

def test_names_and_their_errors(tmp_path, monkeypatch):
    assert load("market").name and len(load("market")) > 1000
    with pytest.raises(FileNotFoundError, match="no set of this name"): load("nosuch")
    monkeypatch.setattr(loaders, "find_file", lambda f: None); monkeypatch.setenv("P5NB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"https://www.yelp.com/dataset, and put it at .*yelp_academic"): load("yelp")
    with pytest.raises(FileNotFoundError, match="Musical_instruments_reviews.csv"): load("MUSICAL")

def test_underscores_are_hyphens(monkeypatch):
    real("amazon18_gift_cards/Gift_Cards_5.json.gz")
    assert len(load("gift_cards")) == len(load("gift-cards"))

def test_missing_side_files_are_named(monkeypatch):
    path = real("amazon14_sequences/Toys_and_Games.txt")
    monkeypatch.setattr(loaders, "find_file", lambda f: path if f.endswith("Games.txt") else None)
    assert note(load("toys"), "sequential.txt is not on this machine and was not joined")
