"What a notebook does not test about prompts: every template, other logs, and that nothing held out reaches a question."
import numpy as np, pandas as pd, pytest, torch
from p5_nb.data.schema import Interactions, leave_one_out
from p5_nb.index.ids import random_index
from p5_nb.index.trie import build_trie
from p5_nb.prompt.mixture import Log, Mixture, collate
from p5_nb.prompt.recipe import CORRECTED, PUBLISHED, Published, review_split
from p5_nb.prompt.shelf import HELD_OUT, TOLD, parse
from p5_nb.prompt.template import FAMILIES, SETS, SOURCE_FIELDS, TARGET_FIELDS, Template, gaps_of, load_templates, name_tokens, spellings
from p5_nb.text.words import Words

ALL = [(s, t) for s in SETS for t in load_templates(s)]
every_template = pytest.mark.parametrize("template", [t for _, t in ALL], ids=[f"{s} {t.number}" for s, t in ALL])

def log_frame(seed=0, n_users=20, n_items=30):
    "A small log with all columns, each text naming its own row."
    rng, rows = np.random.default_rng(seed), []
    for u in range(n_users):
        for t, i in enumerate(rng.permutation(n_items)[:rng.integers(4, 16)]):
            rows.append((f"u{u}", f"i{i}", float(rng.integers(1, 6)), 1_600_000_000 + t, f"text of row {len(rows)}", f"head {len(rows)}", "scent", f"why {len(rows)}", f"Name {u}"))
    return pd.DataFrame(rows, columns="user item rating time text summary feature explanation user_name".split())

def shop(n): return pd.DataFrame({"item": [f"i{i}" for i in range(n)], "title": [f"thing {i}" for i in range(n)], "brand": "Halden", "price": 4.5})

@pytest.fixture
def split(): return leave_one_out(Interactions.from_frame(log_frame(), name="small"))

def setup(split, draws=dict.fromkeys(FAMILIES, 1), **kw):
    trie = build_trie(random_index(split.n_items))
    texts = [*split.train.text, *split.train.summary, *split.train.explanation, *(t.source for t in load_templates()), "user_0123456789 0 1 2 3 4 5 6 7 8 9 yes no"]
    words = Words.count(texts, split.n_items, extra=name_tokens(trie))
    return Mixture(Log(split.train, split.n_users, split.n_items), load_templates(), words, spellings(trie, words), draws, **kw)

@every_template
def test_every_template_renders_and_reads_back(template, split):
    m = setup(split)
    e = template.render({**SOURCE_FIELDS, **TARGET_FIELDS}, m.words, m.names)
    assert e.source == template.source.format(**SOURCE_FIELDS)
    assert len(e.ids) == len(e.whole_word_ids) and max(e.whole_word_ids) == len(e.source.split())
    assert not set(gaps_of(template.source)) & set(TARGET_FIELDS)
    for sentence in (template.source, template.target):
        assert parse(sentence, sentence.format(**SOURCE_FIELDS, **TARGET_FIELDS)) == {g: {**SOURCE_FIELDS, **TARGET_FIELDS}[g] for g in gaps_of(sentence)}

@every_template
def test_no_question_depends_on_the_held_out_row(template, split):
    "Change everything that is asked about in each user's last row: the question may change only where the paper's prompts are told on purpose."
    df = split.inter.df.iloc[split.order].reset_index(drop=True)
    last, other = split.at("test"), df.copy()
    told = [g for g in gaps_of(template.source) if g in TOLD]
    if "star" not in told: other.loc[last, "rating"] = 6 - other.loc[last, "rating"]
    other.loc[last, ["explanation"] if "headline" in told else ["summary", "explanation"]] = "leak"
    if "next" in template.fields: other.loc[last, "item"] = (other.loc[last, "item"] + 1) % split.n_items
    if "text" not in told: other.loc[last, "text"] = "leak"
    if "feature" not in told: other.loc[last, "feature"] = "leak"
    logs = [Log(frame, split.n_users, split.n_items, items=shop(split.n_items)) for frame in (df, other)]
    names = [g for g in gaps_of(template.source) if g != "candidates"]
    for row in last: assert [logs[0].gap(g, row) for g in names] == [logs[1].gap(g, row) for g in names]

def test_training_examples_do_not_see_held_out_rows(split):
    df = split.inter.df.copy()
    held = np.setdiff1d(np.arange(len(df)), split.train.index)
    df.loc[held, "item"] = (df.loc[held, "item"] + 7) % split.n_items
    df.loc[held, ["text", "summary", "explanation"]] = "leak"
    other = leave_one_out(Interactions(df, split.inter.users, split.inter.items, "other"))
    said = [[(e.source, e.target) for epoch in range(3) for b in setup(s).batches(epoch) for e in b] for s in (split, other)]
    assert said[0] == said[1]

def test_the_number_of_batches_never_changes(split):
    m = setup(split, batch_size=8)
    assert len({len(m.batches(epoch)) for epoch in range(5)}) == 1

def test_histories_hold_only_earlier_items_of_the_same_user(split):
    log = Log(split.train, split.n_users, split.n_items, max_items=4)
    for row in range(len(log)):
        items, start = log.item[log.before(row)], log.start[log.user[row]]
        assert items.tolist() == log.item[start:row].tolist()[-4:]

def test_candidates_hold_the_target_once(split):
    log, rng = Log(split.train, split.n_users, split.n_items), np.random.default_rng(0)
    for row in range(0, len(log), 7):
        shown = log.fields(row, ["candidates", "next"], rng)
        assert shown["candidates"].split().count(shown["next"]) == 1

def test_families_follow_the_columns(split):
    bare = Log(split.train[["user", "item"]], split.n_users, split.n_items)
    assert {t.family for t in load_templates() if len(bare.answerable(t))} == {"sequential", "direct"}

def test_padding_changes_no_number(split):
    m = setup(split)
    long, short = sorted((e for b in m.batches(0) for e in b if e.family == "rating"), key=lambda e: len(e.ids))[::len(m.batches(0))][-2:]
    batch = collate([short, long], len(m.words))
    assert batch.ids[0, :len(short.ids)].tolist() == short.ids and not batch.ids[0, len(short.ids):].any()

@pytest.mark.parametrize("bad, message", [(dict(family="ratings"), "not one of"), (dict(source="What {thing} ?"), "no gap"), (dict(target="{rating} {answer}"), "exactly one"),
                                          (dict(source="{item} ?", target="{next}"), "gives the answer")])
def test_bad_templates_say_what_is_wrong(bad, message):
    with pytest.raises(ValueError, match=message): Template(**{**dict(family="rating", number="1-9", source="{user} ?", target="{rating}"), **bad})

@pytest.mark.parametrize("name, numbers", [("amazon", (10, 13, 12, 4, 8)), ("yelp", (10, 13, 10, 3, 8))])
def test_the_shelf_has_the_papers_numbers(name, numbers):
    shelf = load_templates(name)
    assert tuple(sum(t.family == f for t in shelf) for f in FAMILIES) == numbers
    for i, f in enumerate(FAMILIES): assert [t.number for t in shelf if t.family == f] == [f"{i + 1}-{n + 1}" for n in range(numbers[i])]
    assert all(any(t.number == n for t in shelf) for n in HELD_OUT[name])

def test_questions_with_a_history_end_with_it_or_are_read_alone():
    "What can be trained in one reading, is: the seven open sequential prompts of the paper."
    assert [t.number for t in load_templates("amazon") if t.stride == 1] == [f"2-{n}" for n in (1, 2, 3, 4, 5, 6, 13)]

def everything(split): return [split.item[a:b] for a, b in zip(split.start[:-1], split.start[1:])]

def published(split, recipe, seed=0):
    trie = build_trie(random_index(split.n_items))
    amazon = [t for t in load_templates("amazon") if t.number not in HELD_OUT["amazon"]]
    texts = [*split.train.text, *split.train.summary, *split.train.explanation, *split.train.user_name, *shop(split.n_items).title, *(t.source for t in amazon)]
    words = Words.count([*texts, "user_0123456789 0 1 2 3 4 5 6 7 8 9 yes no like dislike 4.5 , ->"], split.n_items, extra=name_tokens(trie))
    logs = [Log(split.train, split.n_users, split.n_items, items=shop(split.n_items), candidates=8) for _ in range(2)]
    return Published(*logs, amazon, words, spellings(trie, words), recipe, everything(split), seed)

@pytest.mark.parametrize("recipe", [PUBLISHED, CORRECTED])
def test_the_published_sampler_draws_the_same_again_and_never_asks_a_held_out_purchase(recipe, split):
    m = published(split, recipe)
    said = [[(e.source, e.target) for b in m.batches(epoch) for e in b] for epoch in (0, 0, 1)]
    assert said[0] == said[1] != said[2] and len(said[0]) == len(said[2])
    train = {(u, i) for u, s in enumerate(split.sequences()) for i in s}
    for source, target in said[0]:
        if "user_" in source.split(" ")[0] and target.startswith("item_"): assert (int(source.split(" ")[0][5:]), int(target[5:])) in train

def test_review_split_keeps_everybody(split):
    for seed in range(5):
        parts = review_split(split.inter, seed)
        assert sorted(np.concatenate(list(parts.values()))) == list(range(len(split.inter)))
        train = split.inter.df.iloc[parts["train"]]
        assert train.user.nunique() == split.n_users and train["item"].nunique() == split.n_items and abs(len(parts["valid"]) - len(split.inter)/10) <= 1
