"What the notebook does not test about the pipeline: lists against scores summed by hand, other columns, interrupted runs, files that do not belong together."
import numpy as np, pandas as pd, pytest, torch
import p5_nb.predict.families                 # gives P5 its valid_loss
from p5_nb.baselines.neighbours import ItemKNN
from p5_nb.core import read_json, write_json
from p5_nb.data.schema import Interactions, leave_one_out, temporal_split
from p5_nb.learner import Learner
from p5_nb.predict import pipeline, sequential
from p5_nb.predict.pipeline import P5, title_vectors
from p5_nb.predict.sequential import Sequential
from p5_nb.predict.teacher import Teacher
from p5_nb.prompt.mixture import Log
from p5_nb.prompt.template import name_tokens
from test_prompt import log_frame

SHORT = dict(epochs=1, readings=1, draws=dict.fromkeys(("rating", "explanation", "review", "direct"), .2))
N, EVERYTHING = 50, ["rating", "time", "text", "summary", "feature", "explanation"]

@pytest.fixture(scope="module", autouse=True)
def short():
    "One epoch of little work: these tests are about numbers, files and messages, not about quality."
    with pytest.MonkeyPatch.context() as m:
        m.setitem(pipeline.PRESETS, "smoke", pipeline.PRESETS["smoke"] | SHORT)
        yield

def inter(*columns): return Interactions.from_frame(log_frame(n_items=N)[["user", "item", *columns]], name="small")

@pytest.fixture(scope="module")
def split(): return leave_one_out(inter(*EVERYTHING))

@pytest.fixture(scope="module")
def whole(split): return P5.fit(split, "smoke")

def same(a, b): return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

@pytest.mark.parametrize("columns, families", [([], {"sequential"}), (["time"], {"sequential"}), (["rating", "time"], {"rating", "sequential", "direct"}),
                                               (EVERYTHING, {"rating", "sequential", "explanation", "review", "direct"})])
def test_families_follow_the_columns(columns, families):
    p5 = P5.fit(inter(*columns), "smoke")
    assert set(p5.families) == families
    assert len(p5.recommend("u0", k=3)) == 3
    for family, ask in (("rating", lambda: p5.rate("u0", "i0")), ("explanation", lambda: p5.explain("u0", "i0")), ("review", lambda: p5.summarize("fine")), ("direct", lambda: p5.choose("u0", ["i0", "i1"]))):
        if family in families: ask()
        else:
            with pytest.raises(ValueError, match=f"no columns for {family}"): ask()

def test_purchases_alone_are_taught_by_counts():
    split = leave_one_out(inter("time"))
    p5, sequences, by_hand = P5.fit(split, "smoke"), split.sequences(), {}
    for taught in (True, False):
        model = by_hand[taught] = Sequential(p5.index, "smoke", 0)
        model.fit(sequences, also=Teacher(ItemKNN, sequences, split.n_items, seed=0) if taught else None)
    assert same(p5.model.model.state_dict(), by_hand[True].model.state_dict()) and not same(p5.model.model.state_dict(), by_hand[False].model.state_dict())

def test_one_shopper_has_nobody_to_learn_from():
    df = log_frame(n_items=N)[["user", "item", "time"]]
    p5 = P5.fit(Interactions.from_frame(df[df.user == df.user.iloc[0]], name="one"), "smoke")
    assert p5.bare and len(p5.users) == 1

def test_bare_purchases_of_few_who_bought_more_than_one_thing():
    log = pd.DataFrame([(f"u{u}", f"i{(u*3 + j) % 12}", j) for u, n in enumerate([3]*9 + [9]) for j in range(n)], columns=["user", "item", "time"])
    assert P5.fit(leave_one_out(Interactions.from_frame(log, name="few")), "smoke").bare

@pytest.mark.parametrize("preset", pipeline.PRESETS)
def test_every_preset_trains(preset, split, monkeypatch):
    monkeypatch.setitem(pipeline.PRESETS, preset, pipeline.PRESETS[preset] | SHORT)
    p5, (fresh, _) = P5.fit(split, preset), P5.prepare(split, preset)
    assert p5.valid_loss(split)["valid loss"] < .9*fresh.valid_loss(split)["valid loss"] and len(p5.recommend("u0", k=3)) == 3

def test_words_start_where_their_company_is(split):
    "And nothing else does: names of items, words of prompts."
    (p5, log), (fresh, _) = P5.prepare(split, "smoke"), P5.prepare(split, "smoke")
    p5.start_words(log)
    said = {i for c in ("text", "summary") for t in split.train[c].dropna() for i in p5.words.encode(t) if i > 2}
    moved = (p5.model.table() != fresh.model.table()).any(1).nonzero()[:, 0]
    assert 10 < len(moved) < len(p5.words)/2 and set(moved.tolist()) <= said

def test_a_training_on_other_prompts_is_refused(split, tmp_path):
    P5.fit(split, "smoke", tmp_path)
    with pytest.raises(ValueError, match="belongs to another run: prompts changed"): P5.fit(split, "smoke", tmp_path, held_out=("2-1",))

def test_a_training_on_another_log_or_with_another_dropout_is_refused(split, tmp_path, monkeypatch):
    P5.fit(split, "smoke", tmp_path/"all")
    other = log_frame(n_items=N)[["user", "item", *EVERYTHING]].assign(rating=lambda d: 6 - d.rating)
    with pytest.raises(ValueError, match="belongs to another run: log changed"): P5.fit(leave_one_out(Interactions.from_frame(other, name="small")), "smoke", tmp_path/"all")
    with monkeypatch.context() as m, pytest.raises(ValueError, match="belongs to another run: dropout changed"):
        m.setitem(pipeline.PRESETS, "smoke", pipeline.PRESETS["smoke"] | dict(dropout=.5)); P5.fit(split, "smoke", tmp_path/"all")
    bare, backwards = (Interactions.from_frame(log_frame(n_items=N)[["user", "item", "time"]].assign(time=lambda d: sign*d.time), name="small") for sign in (1, -1))
    P5.fit(bare, "smoke", tmp_path/"bare")
    with pytest.raises(ValueError, match="belongs to another run: .*sequences.* changed"): P5.fit(backwards, "smoke", tmp_path/"bare")

def test_lists_hold_items_once_and_nothing_seen(whole):
    n = len(whole.item_labels)
    for label in whole.users:
        got = whole.recommend(label, k=n)
        seen = set(whole.item_labels[whole.log.item[whole.log.of(whole.users.get_loc(label))]])
        assert got["item"].is_unique and not seen & set(got["item"]) and len(got) == n - len(seen)
        assert set(whole.recommend(label, k=n, filter_seen=False)["item"]) == set(whole.item_labels)

def name_score(model, states, bias, name, siblings, levels):
    "Log-probability of one item's name, token by token: among the level's tokens, at the last level among the item's siblings."
    hidden = model.decode(torch.tensor([[[0, *name[:-1]]]]), states, bias)[0, 0]
    scores, total = model.scores(hidden).double().numpy(), 0.
    for at, token in enumerate(name):
        rivals = siblings if at == len(name) - 1 else levels[at]
        total += scores[at, token] - np.log(sum(np.exp(scores[at, r]) for r in rivals))
    return total

@torch.no_grad()
def test_a_beam_wide_enough_equals_scoring_every_item(whole):
    words, names = whole.words.words, whole.names
    levels = [[i for i, w in enumerate(words) if w.startswith(f"<{letter}_")] for letter in "abcdefgh"[:names.shape[1]]]
    for user in ("u3", "u8"):
        gaps = [whole.about(user)]
        (_, states, bias), = whole.read("2-1", gaps)
        by_hand = np.array([name_score(whole.model, states, bias, name, [other[-1] for other in names if (other[:-1] == name[:-1]).all()], levels) for name in names.tolist()])
        items, scores = whole.lists("2-1", gaps, len(names))
        assert sorted(items[0]) == list(range(len(names)))
        np.testing.assert_allclose(scores[0], by_hand[items[0]], atol=1e-4)
        np.testing.assert_allclose(scores[0], np.sort(by_hand)[::-1], atol=1e-4)

def test_questions_in_a_batch_are_answered_as_alone(whole):
    gaps = [{**whole.about(u), "item": f"item_{i}"} for i, u in enumerate(whole.users)]
    assert len({len(g["history"].split()) for g in gaps}) > 3                        # so that there is padding
    np.testing.assert_allclose(whole.star("1-A", gaps), [whole.star("1-A", [g])[0] for g in gaps], atol=1e-5)
    np.testing.assert_allclose(whole.lists("2-1", gaps, 5)[1], [whole.lists("2-1", [g], 5)[1][0] for g in gaps], atol=1e-4)
    assert whole.write("3-A", gaps, 5) == [whole.write("3-A", [g], 5)[0] for g in gaps]

@torch.no_grad()
def test_the_next_word_of_a_text_is_the_likeliest(whole):
    gaps, most = {**whole.about("u3"), "item": "item_4"}, 4
    (_, states, bias), = whole.read("3-A", [gaps])
    ids = [0]
    while len(ids) <= most and ids[-1] != 1:
        scores = whole.model.scores(whole.model.decode(torch.tensor([[ids]]), states, bias))[0, 0, -1]
        ids.append(int(scores[:-len(name_tokens(whole.trie))].argmax()))
    assert whole.write("3-A", [gaps], most) == [whole.words.decode(ids[1:])]

def test_measures_equal_loops_over_users(whole, split):
    found, log = whole.measure(split), Log(split.inter.df.iloc[split.order], split.n_users, split.n_items)
    hit, errors, first = [], [], []
    for row in split.at("test"):
        user, true = log.user[row], log.item[row]
        before = log.item[log.of(user)][:-1]
        gaps = {"user": f"user_{user}", "history": " ".join(f"item_{i}" for i in before[-10:]), "item": f"item_{true}",
                "rated": " ".join(f"item_{i} {s:.0f}" for i, s in zip(before[-10:], log.columns["rating"][log.of(user)][:-1][-10:]))}
        hit.append(true in whole.next_items([user], [before], 5)[0][0])
        errors.append(np.mean([whole.star(n, [gaps])[0] for n in whole.templates if n.startswith("1-")]) - log.columns["rating"][row])
    assert found["sequential"]["hit@5"] == pytest.approx(np.mean(hit))
    assert found["rating"]["rmse"] == pytest.approx(np.mean(np.square(errors))**.5, abs=1e-5)
    assert found["rating"]["mae"] == pytest.approx(np.mean(np.abs(errors)), abs=1e-5)

def test_direct_counts_rivals_that_score_as_high(whole, split, monkeypatch):
    "With a score that is the item number, the rank is one plus the number of larger negatives."
    log, rows = Log(split.inter.df.iloc[split.order], split.n_users, split.n_items), split.at("test")
    monkeypatch.setattr(P5, "spell", lambda self, number, gaps, items: items.astype(float))
    drawn = np.tile(np.arange(100, 119), (len(rows), 1))
    assert whole.measure_direct(log, rows, drawn)["hit@5"] == 0                       # 19 larger ones
    assert whole.measure_direct(log, rows, drawn - 200)["hit@1"] == 1                 # none
    drawn[:, 4:] = -1
    assert [whole.measure_direct(log, rows, drawn)[m] for m in ("hit@1", "hit@5")] == [0, 1]   # four larger: fifth

def test_same_seed_same_model_other_seed_another(whole, split):
    again, other = P5.fit(split, "smoke"), P5.fit(split, "smoke", seed=1)
    weights = [m.model.state_dict() for m in (whole, again, other)]
    assert same(*weights[:2]) and not same(weights[0], weights[2])

@pytest.mark.parametrize("columns", [[], EVERYTHING])
def test_save_and_load_answer_alike(columns, tmp_path):
    p5 = P5.fit(inter(*columns), "smoke", folder=tmp_path)
    again = P5.load(tmp_path)
    pd.testing.assert_frame_equal(again.recommend("u1"), p5.recommend("u1"))
    if columns: assert again.rate("u1", "i3") == p5.rate("u1", "i3") and again.explain("u1", "i3") == p5.explain("u1", "i3")
    assert {f.suffix for f in tmp_path.rglob("*.*")} == {".json", ".jsonl", ".safetensors"}

def test_number_labels_survive(tmp_path):
    df = log_frame().assign(user=lambda d: d.user.str[1:].astype(int), item=lambda d: d["item"].str[1:].astype(int) + 1000)
    p5 = P5.fit(Interactions.from_frame(df[["user", "item", "rating"]], name="numbers"), "smoke", folder=tmp_path)
    assert p5.recommend("7", k=3)["item"].astype(int).between(1000, 1029).all()
    pd.testing.assert_frame_equal(P5.load(tmp_path).recommend("7"), p5.recommend("7"))
    with pytest.raises(ValueError, match="user 7 is not in the log.*'0'"): p5.recommend(7)

def test_an_interrupted_run_ends_as_if_nothing_had_happened(split, tmp_path, monkeypatch):
    "Stopped in the second epoch, after a checkpoint: the same weights and the same log. A finished run is not trained again."
    monkeypatch.setitem(pipeline.PRESETS, "smoke", pipeline.PRESETS["smoke"] | dict(epochs=3))
    monkeypatch.setattr(pipeline, "Learner", lambda *a, **k: Learner(*a, **k, save_seconds=0))
    calm, steps, step = P5.fit(split, "smoke", folder=tmp_path/"calm"), [0], Learner.one_step
    def stopped(self, batch):
        steps[0] += 1
        if self.epoch == 1 and self.place == 3: raise KeyboardInterrupt
        return step(self, batch)
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt): m.setattr(Learner, "one_step", stopped); P5.fit(split, "smoke", folder=tmp_path/"rough")
    assert steps[0] > 4 and not (tmp_path/"rough"/"model.safetensors").exists()
    rough = P5.fit(split, "smoke", folder=tmp_path/"rough")
    assert same(calm.model.state_dict(), rough.model.state_dict())
    for a, b in zip(calm.learner.log, rough.learner.log, strict=True): assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0})
    def never(self, batch): raise AssertionError("trained again")
    monkeypatch.setattr(Learner, "one_step", never)
    assert same(P5.fit(split, "smoke", folder=tmp_path/"rough").model.state_dict(), rough.model.state_dict())

def test_another_index_is_refused(tmp_path, whole):
    whole.save(tmp_path)
    index = read_json(tmp_path/"index.json")
    index["codes"][0], index["codes"][1] = index["codes"][1], index["codes"][0]
    write_json(tmp_path/"index.json", index)
    with pytest.raises(ValueError, match="not the index"): P5.load(tmp_path)

def test_some_stars_missing(split):
    "A missing star is neither told nor asked."
    df = split.inter.df.copy()
    df.loc[df.index % 3 == 0, "rating"] = np.nan
    p5 = P5.fit(Interactions(df, split.inter.users, split.inter.items, "gaps"), "smoke")
    said = [e for b in p5.mixture.batches(0) for e in b]
    assert {"rating", "sequential"} <= {e.family for e in said} and not [e for e in said if "nan" in f"{e.source} {e.target}".split()]
    assert not [u for u in p5.users if "nan" in p5.about(u)["rated"]]

@pytest.mark.parametrize("titles", [[""]*4, ["soap"]*4, ["soap"], ["a", "b", "c", "d"]])
def test_titles_that_say_nothing(titles):
    vectors = title_vectors(titles, 3)
    assert len(vectors) == len(titles) and np.isfinite(vectors).all()

def test_messages(whole, tmp_path):
    for ask, message in ((lambda: whole.recommend("nobody"), "user 'nobody' is not in the log"), (lambda: whole.rate("u0", "nothing"), "item 'nothing' is not in the log"),
                         (lambda: whole.summarize(" "), "empty"), (lambda: whole.choose("u0", []), "no items"), (lambda: whole.lists("7-1", [{}], 3), "prompt 7-1"),
                         (lambda: P5.fit(inter(), "huge"), "smoke, small, paper, full")):
        with pytest.raises(ValueError, match=message): ask()
    with pytest.raises(FileNotFoundError, match="no P5 here"): P5.load(tmp_path)
    with pytest.raises(TypeError, match="Interactions"): P5.fit("market")

@pytest.mark.parametrize("columns", [["time"], EVERYTHING])
def test_many_are_asked_about_by_numbers_only(columns):
    split = leave_one_out(inter(*columns))
    p5, history = P5.prepare(split, "smoke")[0], np.array([3, 5, 7])
    for users, histories, message in (([0], [np.array([3, 5, 7, -1, -1])], "item -1 of sequence 0"), ([0], [history*1.], "float64"), ([0], [history, history, history], "1 users and 3 histories"),
                                      ([0, 1], [history], "2 users and 1 histories"), ([-1], [history], "user -1"), ([10**6], [history], "user 1000000"), ([0.], [history], "users are float64"), (None, [np.array([-1])], "item -1")):
        with pytest.raises(ValueError, match=message): p5.next_items(users, histories, 3)
    assert p5.next_items([], [], 3)[0].shape == (0, 3)
    if not p5.bare:
        for items, message in (([[0, -1]], "item -1"), ([[len(p5.items)]], "item 48"), ([[1.]], "float64")):
            with pytest.raises(ValueError, match=message): p5.spell("2-1", [{"user": "user_0", "history": "item_3"}], np.array(items))

def test_as_many_candidates_as_fit(whole):
    many = list(whole.item_labels)*4
    room = next(n for n in range(1, len(many)) if "fit into" in message(lambda: whole.choose("u0", many[:n]))) - 1
    assert 90 < room < 128 and len(whole.choose("u0", many[:room])) == room
    assert f"{room + 1} items to choose from, but only {room} fit" in message(lambda: whole.choose("u0", many[:room + 1]))
    whole.whole_words = False
    try: assert len(whole.choose("u0", many)) == len(many)                              # where places of words are not told, they have no end
    finally: whole.whole_words = True

def message(ask):
    "What is said to a question that is refused, nothing to others."
    try: ask()
    except ValueError as e: return str(e)
    return ""

def test_texts_are_read_as_in_training(whole, monkeypatch):
    asked = []
    monkeypatch.setattr(P5, "write", lambda self, number, gaps: asked.append(gaps[0]) or [""])
    whole.summarize("I like item_3 and item_99999 " + "soap "*90, "item_7 one two three four five"); whole.explain("u0", "i0", "scent scent scent scent")
    text = Log(pd.DataFrame({"user": [0], "item": [0], "text": ["I like item_3 and item_99999 " + "soap "*90]}), 1, 1).gap("text", 0)
    assert asked[0] == {"text": text, "name": "item 7 one two", "user": "item 7 one two"} and asked[1]["feature"] == "scent scent scent"
    assert "'item 3' is no word" in message(lambda: whole.explain("u0", "i0", "item_3")) and "'item 99999' is no word" in message(lambda: whole.explain("u0", "i0", "item_99999"))
    assert max(whole.words.encode(" ".join(map(str, asked[0].values())))) < len(whole.words)          # no word stands for an item

def test_people_without_a_history_are_left_out_and_counted():
    df = log_frame(n_items=N)[["user", "item", *EVERYTHING]]
    df["time"] = 1_600_000_000 + np.random.default_rng(0).integers(0, 10**6, len(df)) + (df.user.str[1:].astype(int) > 16)*10**6      # the last shoppers come late
    split = temporal_split(Interactions.from_frame(df, name="late"))
    p5, _ = P5.prepare(split, "smoke")
    old = np.flatnonzero([len(h) > 0 for h in split.history("valid")])
    assert 0 < len(old) < len(split.at("valid"))
    found = p5.measure(split, "valid")
    items, _ = p5.next_items(split.users("valid")[old], [split.history("valid")[i] for i in old], 5)
    assert found["sequential"]["hit@5"] == np.mean([t in i for t, i in zip(split.target("valid")[old], items)])
    assert found["sequential"]["new users left out"] == found["direct"]["new users left out"] == len(split.at("valid")) - len(old)
    assert "new users left out" not in p5.measure(leave_one_out(split.inter))["sequential"]
    p5.cards(split)

@pytest.mark.parametrize("column, value", [("price", float("inf")), ("brand", pd.Timestamp("2020-01-01"))])
def test_what_cannot_be_stored_is_refused_before_training(column, value, tmp_path):
    df = log_frame(n_items=20)[["user", "item", "rating"]]
    items = pd.DataFrame({"item": sorted(df["item"].unique())}).assign(title="soap", **{column: pd.Series([4.5] + [value]*30, dtype=object)})
    with pytest.raises(ValueError, match=f"{column}.*replace that value"): P5.fit(Interactions.from_frame(df, items, name="odd"), "smoke", folder=tmp_path)
    assert not list(tmp_path.iterdir())

def test_without_weights_nothing_claims_to_be_a_model(whole, tmp_path, monkeypatch):
    def full(self, folder): raise OSError("no space left")
    monkeypatch.setattr(P5, "save_weights", full)
    with pytest.raises(OSError): whole.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="no P5 here"): P5.load(tmp_path)

@pytest.mark.parametrize("name, field", [("words.json", "words"), ("labels.json", "users")])
def test_other_words_and_other_numbers_are_refused(name, field, whole, tmp_path):
    whole.save(tmp_path)
    changed = read_json(tmp_path/name)
    changed[field][:2] = changed[field][1::-1]
    write_json(tmp_path/name, changed)
    with pytest.raises(ValueError, match=f"{name} is not the file"): P5.load(tmp_path)
    about = read_json(tmp_path/"p5.json"); del about["files"], about["sizes"]; write_json(tmp_path/"p5.json", about)
    P5.load(tmp_path)                                                                   # as it was stored formerly: nothing to compare with

@pytest.mark.parametrize("columns", [["time"], EVERYTHING])
def test_a_preset_may_change_after_a_model_was_stored(columns, tmp_path, monkeypatch):
    p5 = P5.prepare(leave_one_out(inter(*columns)), "smoke")[0]
    p5.save(tmp_path)
    for module in (pipeline, sequential): monkeypatch.setitem(module.PRESETS, "smoke", module.PRESETS["smoke"] | dict(d_model=16, d_ff=24, num_layers=2))
    again = P5.load(tmp_path)
    assert same(again.net.state_dict(), p5.net.state_dict()) and not again.net.training
    pd.testing.assert_frame_equal(again.recommend("u1"), p5.recommend("u1"))

def test_the_tokens_of_names_are_counted_once(whole, monkeypatch):
    monkeypatch.setattr(pipeline, "name_tokens", None)                                  # whoever lists them again fails
    assert isinstance(whole.explain("u0", "i0"), str) and len(whole.recommend("u0"))
