"What the lesson does not test about P5 to the letter: any numbering, all prompts of the paper, yes and no by one piece or by two, wrapped models, transformers' own search."
import numpy as np, pandas as pd, pytest, torch
from dataclasses import replace
from hypothesis import given, settings, strategies as st
from p5_nb.data.schema import leave_one_out
from p5_nb.index.ids import random_index
from p5_nb.index.leak import name_places
from p5_nb.predict.families import questions
from p5_nb.predict.literal import Literal, Numbered
from p5_nb.pretrain.backbone import Published, save_t5
from p5_nb.prompt.mixture import target_losses, collate
from p5_nb.prompt.recipe import CORRECTED, Published as PublishedRecipe
from p5_nb.prompt.shelf import HELD_OUT
from p5_nb.text.subwords import Subwords
from test_families import inter

WORDS = Subwords.train(["what after item_73 item_7 , item_10 user_4"]*9, size=140)

@pytest.fixture(scope="module")
def split(): return leave_one_out(inter())

@pytest.fixture(scope="module")
def p5(split):
    p5, log = Literal.prepare(split, "smoke", prompts="amazon", held_out=HELD_OUT["amazon"])
    return p5.train(log, mixture=PublishedRecipe(log, log, [p5.templates[n] for n in p5.trained], p5.words, p5.names, CORRECTED), epochs=1)

@given(st.permutations(range(25)), st.lists(st.integers(0, 24), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_list_is_read_back_whatever_the_numbering(places, items):
    words, text = Numbered(WORDS, np.array(places)), " , ".join(f"item_{i}" for i in items)
    assert words.decode(words.encode(text)) == text
    assert WORDS.decode(words.encode(text)) == " , ".join(f"item_{places[i]}" for i in items)         # what the model sees
    assert words.whole_word_ids(text) == WORDS.whole_word_ids(WORDS.decode(words.encode(text)))

def test_all_prompts_of_the_paper_are_measured(p5, split):
    found = p5.measure_prompts(split)
    assert set(found) == set(p5.templates) and len(found) == 47
    for n, m in found.items(): assert all(np.isfinite(v) for v in m.values()), n

def test_numbers_follow_the_training_part_only(p5, split):
    met = list(dict.fromkeys(np.concatenate(split.sequences()).tolist()))
    assert [p5.words.places[i] for i in met] == list(range(len(met)))
    assert np.array_equal(p5.words.places, name_places(p5.index))

def test_another_index_is_written_and_kept(split, tmp_path):
    index = random_index(split.n_items, seed=3)
    p5, log = Literal.prepare(split, "smoke", index=index)
    assert np.array_equal(p5.words.places, name_places(index))
    p5.save(tmp_path)
    assert np.array_equal(Literal.load(tmp_path).words.places, p5.words.places)

def test_yes_and_no_by_first_pieces_or_by_whole_answers(p5, split):
    "One piece each: the scores of the first piece; several pieces: the log-probability of the whole answer, end included. Both as one forward pass with the answer before the model gives them."
    gaps = questions(p5.templates["1-1"], p5.whole_log(split), split.at("test")[:4])
    def forward(gap, answer):
        (_, batch), = p5.asks("1-1", [gap])
        with torch.no_grad(): return p5.model(batch.ids, torch.tensor([answer]), batch.ids > 0, batch.whole_word_ids)[0]
    (yes,), (no,), long = (p5.words.encode(w) for w in ("yes", "no", "yesno"))
    assert len(long) > 1
    first, whole = p5.first_word("1-1", gaps, ["▁yes", "▁no"]), p5.first_word("1-1", gaps, ["▁yesno", "▁no"])
    for i, gap in enumerate(gaps):
        assert torch.allclose(first[i], forward(gap, [yes])[0, [yes, no]], atol=1e-4)
        for found, answer in zip(whole[i], (long + [1], [no, 1])):
            assert found.item() == pytest.approx(sum(row[t].item() for row, t in zip(forward(gap, answer).log_softmax(-1), answer)), abs=1e-3)

@pytest.mark.parametrize("text, item", [("item_7", 7), ("item_07", -1), ("item_40", -1), ("item_7 item_8", -1), ("item_", -1), ("xitem_7", -1)])
def test_what_names_an_item(p5, text, item): assert p5.named([text]) == [item]

def test_vectors_cannot_start_elsewhere(p5):
    with pytest.raises(ValueError, match="every vector starts at random"): p5.train(p5.log, start=("items",))

def test_items_are_scored_as_the_loss_scores_them(p5, split):
    log, rows = p5.whole_log(split), split.at("test")[:5]
    gaps = questions(p5.templates["2-1"], log, rows)
    score = p5.spell("2-1", gaps, log.item[rows][:, None])[:, 0]
    asked = [p5.templates["2-1"].render(g | {"next": f"item_{i}"}, p5.words, p5.names) for g, i in zip(gaps, log.item[rows])]
    with torch.no_grad(): loss = [target_losses(p5.model, collate([e], len(p5.words)))[0, 0].item()*len(e.labels[0]) for e in asked]
    assert np.allclose(score, -np.array(loss), atol=1e-4)

@pytest.mark.parametrize("item, said", [(-1, "item -1"), (40, "item 40"), (1., "float64")])
def test_only_items_are_scored(p5, item, said):
    with pytest.raises(ValueError, match=said): p5.spell("2-1", [{"user": "user_0", "history": "item_3"}], np.array([[5, item]]))

def test_lists_hold_each_item_once_and_nothing_owned(p5, split):
    log, rows = p5.whole_log(split), split.at("test")
    gaps, owned = questions(p5.templates["2-1"], log, rows), split.history("test")
    items, scores = p5.lists("2-1", gaps, 10, owned)
    for row, score, mine in zip(items, scores, owned):
        kept = row[row >= 0]
        assert len(set(kept)) == len(kept) and not set(kept) & set(mine.tolist()) and np.isfinite(score[:len(kept)]).all() and (score[len(kept):] == -np.inf).all()

def test_texts_are_those_of_transformers(p5, split, tmp_path):
    "The same weights without whole-word vectors: our beam search and `generate` with the paper's settings write the same twenty texts."
    transformers = pytest.importorskip("transformers")
    plain, p5.whole_words = p5.whole_words, False
    try:
        gaps = questions(p5.templates["2-1"], p5.whole_log(split), split.at("test")[:3])
        ours = p5.texts("2-1", gaps, beams=20, most=6)[0]
        save_t5(p5.model, tmp_path)
        theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
        for (rows, batch), g in zip(p5.asks("2-1", gaps, size=1), gaps):
            ids = theirs.generate(batch.ids, attention_mask=(batch.ids > 0).long(), num_beams=20, num_return_sequences=20, max_new_tokens=6, do_sample=False)
            assert [p5.words.decode(t) for t in ids[:, 1:].tolist()] == ours[rows[0]]
    finally: p5.whole_words = plain

def test_a_wrapped_model_answers_all_families_and_is_kept(p5, split, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_t5(p5.model, tmp_path/"t5")
    wrapped = Published(transformers.T5ForConditionalGeneration.from_pretrained(tmp_path/"t5").eval(), p5.model.config.whole_words)
    wrapped.whole_word_embeddings.load_state_dict(p5.model.encoder.whole_word_embeddings.state_dict())
    other, _ = Literal.prepare(split, "smoke", prompts="amazon", held_out=HELD_OUT["amazon"], words=p5.words, backbone=wrapped)
    for n in ("1-1", "2-1", "3-1", "4-1", "5-5"):
        a, b = (m.measure_prompts(split, "test", [n])[n] for m in (p5, other))
        assert a == pytest.approx(b, abs=1e-3), n
    other.save(tmp_path/"p5")
    again = Literal.load(tmp_path/"p5")
    assert isinstance(again.model, Published)
    pd.testing.assert_frame_equal(again.recommend("u0", 3), other.recommend("u0", 3))

def test_a_vocabulary_larger_than_the_backbone_is_refused(p5, split):
    with pytest.raises(ValueError, match="do not belong together"):
        Literal.prepare(split, "smoke", backbone=type(p5.model)(replace(p5.model.config, vocab_size=30)))
