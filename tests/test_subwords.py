"What the lesson on subwords does not test: any text there and back, T5's numbers on any text, and prompts that use either vocabulary."
import io, json, math
import pytest, sentencepiece
from hypothesis import given, settings, strategies as st
from p5_nb.data.market import load_market
from p5_nb.data.schema import leave_one_out
from p5_nb.index.ids import random_index
from p5_nb.index.trie import build_trie
from p5_nb.prompt.mixture import Log, Mixture, collate
from p5_nb.prompt.template import FAMILIES, SOURCE_FIELDS, TARGET_FIELDS, load_templates, name_tokens, spellings
from p5_nb.text.subwords import SENTINELS, Subwords
from p5_nb.text.words import Words

MARKET = load_market().interactions
TEXTS = [*MARKET.df.text[:2000], *(f"user_{u} bought item_{i}" for u, i in zip(MARKET.df.user[:2000], MARKET.df.item))]
TRAINED = {digits: Subwords.train(TEXTS, 500, split_digits=digits, extra=SENTINELS) for digits in (False, True)}
known = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.lists(st.sampled_from(["user_23", "item_1234", "soap,", "(4.5)", "<pad>", "<extra_id_0>", "shampoo"])).map(" ".join)
anything = st.text(st.characters(exclude_categories=["Cs", "Cc"]))

@pytest.mark.parametrize("digits", TRAINED)
@settings(deadline=None)
@given(text=known)
def test_there_and_back(digits, text):
    words, tidy = TRAINED[digits], " ".join(text.split())
    ids, whole = words.read(text)
    assert words.decode(ids) == tidy and min(ids, default=3) > 2 and max(ids, default=0) < len(words) - 100      # nothing unknown, no text spells a special piece or a sentinel
    begins = [words.words[i].startswith("▁") for i in ids]
    assert whole == [sum(begins[:n + 1]) for n in range(len(ids))] and max(whole, default=0) == len(text.split())
    if digits: assert not any(sum(c.isdigit() for c in words.words[i]) > 1 for i in ids)

@pytest.mark.parametrize("digits", TRAINED)
@settings(deadline=None)
@given(text=anything)
def test_any_text_can_be_read(digits, text):
    ids, whole = TRAINED[digits].read(text)
    assert len(ids) == len(whole) and 0 not in ids and 1 not in ids and whole == sorted(whole)
    words = TRAINED[digits]
    assert words.decode(ids).replace("<unk>", "").split() == words.decode([i for i in ids if i != 2]).split()

def test_digits_and_items():
    assert any(sum(c.isdigit() for c in p) > 1 for p in TRAINED[False].words[3:-100])
    words = Subwords.train(TEXTS, 500, n_items=300)
    assert words.read("user_23 bought item_7, (item_299).")[0].count(len(words) + 7) == 1 and len(words) + 299 in words.encode("(item_299).")
    assert not any("item_" in p for p in words.words) and words.decode(words.encode("bought item_7, item_8.")) == "bought item_7, item_8."
    assert max(words.whole_word_ids("a item_7, (item_8). b")) == 4

def test_the_same_texts_give_the_same_vocabulary(tmp_path):
    again = Subwords.train(reversed(TEXTS), 500, extra=SENTINELS)
    assert again == TRAINED[False] and again != TRAINED[True]
    again.save(tmp_path/"v.json")
    assert Subwords.load(tmp_path/"v.json") == again and not list(tmp_path.glob(".*"))

@pytest.mark.parametrize("change", [{"runs": "letters"}, {"tokenizer": {}}, {"tokenizer": 3}, {"extra": ["▁I"]}])
def test_broken_files_are_refused(tmp_path, change):
    (tmp_path/"v.json").write_text(json.dumps(TRAINED[False].state() | change))
    with pytest.raises(ValueError): Subwords.load(tmp_path/"v.json")

# SentencePiece
def make(path, **kw):
    "A small SentencePiece model written to `path`, and the package's own reader of it."
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=file, minloglevel=2, **{**dict(vocab_size=250, pad_id=0, eos_id=1, unk_id=2, bos_id=-1), **kw})
    path.write_bytes(file.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())

@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("t5")/"spiece.model"
    judge = make(path)
    return Subwords.from_sentencepiece(path), judge, path

@settings(max_examples=300, deadline=None)
@given(text=known | st.text("abcdehilnorstuwy éﬁ１½,.日_19 \u00a0\u3000"))
def test_numbers_as_the_sentencepiece_package(published, text):
    words, judge, _ = published
    ours, theirs = words.encode(text), judge.encode(text)
    score = lambda ids: sum(map(judge.get_score, ids))
    assert ours == theirs or (sorted(ours) == sorted(theirs) or math.isclose(score(ours), score(theirs), rel_tol=1e-5)) and words.decode(ours) == words.decode(theirs)   # equally probable cuts
    assert words.whole_word_ids(text) == [n for n, word in enumerate(words.tokenizer.normalizer.normalize_str(text).split(), 1) for _ in words.word_ids(word)]

def test_pieces_and_sentinels_stand_where_t5_has_them(published, tmp_path):
    words, judge, _ = published
    n = judge.vocab_size()
    assert words.words[3:n] == [judge.id_to_piece(i) for i in range(3, n)] and len(words) == n + 100
    assert [words.numbers[f"<extra_id_{i}>"] for i in (0, 1, 99)] == [n + 99, n + 98, n]
    words.save(tmp_path/"v.json")
    again = Subwords.load(tmp_path/"v.json")
    assert again == words and all(again.encode(t) == judge.encode(t) for t in TEXTS[::20])

def test_published_vocabularies_may_hold_items_and_names(published):
    words = Subwords.from_sentencepiece(published[2], extra=["<a_0>"], n_items=10)
    assert words.words[-1] == "<a_0>" and words.encode("item_7 soap") == [len(words) + 7, *words.encode("soap")]
    assert words.read("(item_3, item_4")[1][-2:] != [1, 1] and len(words) + 3 in words.encode("(item_3,")

@pytest.mark.parametrize("kw, message", [(dict(model_type="bpe"), "unigram"), (dict(user_defined_symbols=["item"]), "unigram"), (dict(add_dummy_prefix=False), "mark"), (dict(pad_id=-1, unk_id=0, eos_id=1, bos_id=2), "padding")])
def test_other_kinds_are_refused(tmp_path, kw, message):
    make(tmp_path/"m.model", **kw)
    with pytest.raises(ValueError, match=message): Subwords.from_sentencepiece(tmp_path/"m.model")

@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_broken_models_are_refused_and_nothing_worse(published, data):
    raw = bytearray(published[2].read_bytes()[:4000])
    for _ in range(data.draw(st.integers(0, 5))): raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = published[2].with_name("broken.model")
    path.write_bytes(raw[:data.draw(st.integers(0, len(raw)))])
    try: Subwords.from_sentencepiece(path)
    except ValueError as e: assert "broken.model" in str(e) or "twice" in str(e)

# Prompts
@pytest.mark.parametrize("n_items", [0, 300])
@pytest.mark.parametrize("make_words", [Subwords.train, Words.count])
def test_prompts_use_either(n_items, make_words):
    split = leave_one_out(MARKET)
    trie = build_trie(random_index(split.n_items))
    kw = dict(size=600) if make_words == Subwords.train else {}
    words = make_words([*TEXTS, *(t.source for t in load_templates())], n_items=n_items, extra=name_tokens(trie), **kw) if n_items or kw else Words.count([""], 300, extra=name_tokens(trie))
    names = spellings(trie, words)
    for t in load_templates():
        e = t.render({**SOURCE_FIELDS, **TARGET_FIELDS}, words, names)
        assert len(e.ids) == len(e.whole_word_ids) and max(e.whole_word_ids) == len(e.source.split())
        assert e.labels == ([words.encode(e.target) + [1]] if not words.n_items or "item_" not in e.target else [names[5].tolist()])
    if n_items:
        mixture = Mixture(Log(split.train[split.train.user < 40], 40, split.n_items), load_templates(), words, names, dict.fromkeys(FAMILIES, 1))
        assert all(collate(b, len(words)).ids.max() < len(words) + n_items for b in mixture.batches(0))
