"What the notebooks do not test about the paper's prompts: logs without titles or names, prompts held back, models read again, measures against loops."
import numpy as np, pandas as pd, pytest
from hypothesis import given, strategies as st
from p5_nb.data.schema import Interactions, leave_one_out, negatives
from p5_nb.predict import pipeline
from p5_nb.predict.families import place_of_first, questions, written_stars
from p5_nb.predict.pipeline import P5
from p5_nb.prompt.mixture import Log
from p5_nb.prompt.recipe import PUBLISHED, Published
from p5_nb.prompt.shelf import HELD_OUT
from test_prompt import log_frame, shop

SHORT = dict(epochs=1, readings=1, draws=dict.fromkeys(("rating", "sequential", "explanation", "review", "direct"), .2))

@pytest.fixture(scope="module", autouse=True)
def short():
    with pytest.MonkeyPatch.context() as m:
        m.setitem(pipeline.PRESETS, "smoke", pipeline.PRESETS["smoke"] | SHORT)
        yield

def inter(titles=True, names=True):
    frame = log_frame(n_items=40)
    return Interactions.from_frame(frame if names else frame.drop(columns="user_name"), shop(40) if titles else None, name="small")

@pytest.fixture(scope="module")
def split(): return leave_one_out(inter())

@pytest.fixture(scope="module")
def p5(split): return P5.fit(split, "smoke", prompts="amazon", held_out=HELD_OUT["amazon"])

def test_held_out_prompts_are_known_and_never_drawn(p5):
    assert set(p5.templates) - set(p5.trained) == set(HELD_OUT["amazon"]) and len(p5.trained) == 42
    drawn = {e.number for epoch in range(3) for b in p5.mixture.batches(epoch) for e in b}
    assert not drawn & set(HELD_OUT["amazon"]) and drawn <= set(p5.trained)

def test_every_prompt_is_measured(p5, split):
    found = p5.measure_prompts(split)
    assert set(found) == set(p5.templates)
    for n, m in found.items(): assert m["n"] == len(split.at("test")) and all(np.isfinite(v) for v in m.values()), n

def test_the_five_questions_with_the_papers_prompts(p5):
    "A prompt is picked that the log can fill, the star that 3-11 tells is the model's own, and a stranger's review has a headline."
    assert len(p5.recommend("u0", k=4)) == 4 and 1 <= p5.rate("u0", "i3") <= 5
    assert isinstance(p5.explain("u0", "i3"), str) and isinstance(p5.explain("u0", "i3", "scent"), str) and isinstance(p5.summarize("fine"), str)
    assert p5.pick("explanation", "{explanation}", ("feature",), ("headline",), ("star", "rated")) == "3-9"
    assert p5.chooser() == "2-7" and p5.choose("u0", ["i1", "i2"]).score.sum() == pytest.approx(1, abs=1e-6)

def test_without_titles_prompts_that_name_them_are_left_out():
    p5 = P5.fit(leave_one_out(inter(titles=False)), "smoke", prompts="amazon", held_out=HELD_OUT["amazon"])
    assert not any("title" in t.fields for t in p5.templates.values()) and "3-11" in p5.trained
    assert isinstance(p5.explain("u0", "i3", "scent"), str)                # 3-11 tells a star: the model's own is told

def test_people_without_names_are_called_by_number():
    log = Log(leave_one_out(inter(names=False)).train, 20, 40)
    assert log.gap("name", 5) == log.gap("user", 5)

def test_a_saved_model_answers_as_before(p5, split, tmp_path):
    p5.save(tmp_path)
    again = P5.load(tmp_path)
    assert again.trained == p5.trained and list(again.templates) == list(p5.templates)
    some = ["1-7", "2-13", "3-9", "4-2", "5-8"]
    assert again.measure_prompts(split, numbers=some) == p5.measure_prompts(split, numbers=some)

def test_a_model_of_the_published_recipe_reads_and_rates_as_it_was_trained(split, tmp_path):
    p5, log = P5.prepare(split, "smoke", prompts="amazon", held_out=HELD_OUT["amazon"])
    everything = [split.item[a:b] for a, b in zip(split.start[:-1], split.start[1:])]
    p5.train(log, mixture=Published(log, log, [p5.templates[n] for n in p5.trained], p5.words, p5.names, PUBLISHED, everything))
    assert p5.jitter and not p5.one_reading
    p5.save(tmp_path)
    again = P5.load(tmp_path)
    assert again.jitter and not again.one_reading
    found = again.measure_prompts(split, numbers=["1-1", "2-3"])
    assert found == p5.measure_prompts(split, numbers=["1-1", "2-3"]) and "published rule: dropped" in found["1-1"]
    p5.whole_words = False
    assert p5.measure_prompts(split, numbers=["1-1"])["1-1"]["rmse"] != found["1-1"]["rmse"]

def test_one_of_many_equals_a_loop(p5, split):
    log, rows = p5.whole_log(split), split.at("test")[:4]
    drawn = negatives(split, "test", 9)[:4]
    got = p5.measure_prompt("5-2", log, rows, drawn)
    ranks = []
    for row, wrong in zip(rows, drawn):
        yes = [float(p5.first_word("5-2", [{"item": f"item_{i}", "name": log.gap("name", row)}], ["▁yes", "▁no"]).softmax(-1)[0, 0]) for i in (log.item[row], *wrong)]
        ranks.append(sum(y >= yes[0] - 1e-7 for y in yes))
    assert got["hit@5"] == pytest.approx(np.mean([r <= 5 for r in ranks]))

def test_questions_tell_no_answers(p5, split):
    log, row = p5.whole_log(split), split.at("test")[0]
    for n in ("2-3", "5-5"): assert f"item_{log.item[row]}" not in " ".join(v for k, v in questions(p5.templates[n], log, [row])[0].items() if k != "next")

@given(st.text(max_size=4))
def test_only_stars_are_read_as_stars(text):
    value = written_stars([text])[0]
    assert np.isnan(value) or 1 <= value <= 5 and float(text) == value

def test_ties_count_against():
    assert place_of_first(np.zeros((1, 5))).tolist() == [5]
