"What a notebook does not test about prompts: every template, other logs, and that nothing held out reaches a question."
import numpy as np, pandas as pd, pytest, torch
from p5_nb.data.schema import Interactions, leave_one_out
from p5_nb.index.ids import random_index
from p5_nb.index.trie import build_trie
from p5_nb.prompt.mixture import Log, Mixture, collate
from p5_nb.prompt.template import FAMILIES, SOURCE_FIELDS, TARGET_FIELDS, Template, gaps_of, load_templates, name_tokens, spellings
from p5_nb.text.words import Words

def log_frame(seed=0, n_users=20, n_items=30):
    "A small log with all columns, each text naming its own row."
    rng, rows = np.random.default_rng(seed), []
    for u in range(n_users):
        for t, i in enumerate(rng.permutation(n_items)[:rng.integers(4, 16)]):
            rows.append((f"u{u}", f"i{i}", float(rng.integers(1, 6)), 1_600_000_000 + t, f"text of row {len(rows)}", f"head {len(rows)}", "scent", f"why {len(rows)}"))
    return pd.DataFrame(rows, columns="user item rating time text summary feature explanation".split())

@pytest.fixture
def split(): return leave_one_out(Interactions.from_frame(log_frame(), name="small"))

def setup(split, draws=dict.fromkeys(FAMILIES, 1), **kw):
    trie = build_trie(random_index(split.n_items))
    texts = [*split.train.text, *split.train.summary, *split.train.explanation, *(t.source for t in load_templates()), "user_0123456789 0 1 2 3 4 5 6 7 8 9 yes no"]
    words = Words.count(texts, split.n_items, extra=name_tokens(trie))
    return Mixture(Log(split.train, split.n_users, split.n_items), load_templates(), words, spellings(trie, words), draws, **kw)

@pytest.mark.parametrize("template", load_templates(), ids=lambda t: t.number)
def test_every_template_renders_and_reads_back(template, split):
    m = setup(split)
    e = template.render({**SOURCE_FIELDS, **TARGET_FIELDS}, m.words, m.names)
    assert e.source == template.source.format(**SOURCE_FIELDS)
    assert len(e.ids) == len(e.whole_word_ids) and max(e.whole_word_ids) == len(e.source.split())
    assert not set(gaps_of(template.source)) & set(TARGET_FIELDS)

@pytest.mark.parametrize("template", load_templates(), ids=lambda t: t.number)
def test_no_question_depends_on_the_held_out_row(template, split):
    "Change everything about each user's last row: the question asked about it may change only where it must."
    df = split.inter.df.iloc[split.order].reset_index(drop=True)
    last, other = split.at("test"), df.copy()
    other.loc[last, "rating"] = 6 - other.loc[last, "rating"]
    other.loc[last, ["summary", "explanation"]] = "leak"
    if "next" in template.fields: other.loc[last, "item"] = (other.loc[last, "item"] + 1) % split.n_items
    if "{rating}" not in template.target and "{summary}" not in template.target: other.loc[last, "text"] = "leak"
    logs = [Log(frame, split.n_users, split.n_items) for frame in (df, other)]
    names = [g for g in gaps_of(template.source) if g not in ("candidates",)]
    if template.family == "direct" and "answer" in template.fields: names.remove("item")
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
