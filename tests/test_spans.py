"What the lesson on span corruption does not test: any mask there and back, any length, both vocabularies, and the loss of a trusted implementation."
import numpy as np, pytest, torch
from dataclasses import asdict
from hypothesis import example, given, settings, strategies as st
from p5_nb.data.market import load_market
from p5_nb.learner import Learner
from p5_nb.pretrain.spans import SpanCorruption, corrupt, mend, sentinel_ids, span_counts, span_mask, window_lengths
from p5_nb.pretrain.t5 import T5, T5Config
from p5_nb.text.subwords import SENTINELS, Subwords
from p5_nb.text.words import Words

TEXTS = load_market().interactions.df.text[:400].tolist()
MARKS = range(1000, 1100)

@settings(deadline=None)
@given(mask=st.lists(st.booleans(), min_size=1, max_size=60))
def test_any_mask_there_and_back(mask):
    ids = range(10, 10 + len(mask))
    source, target = corrupt(ids, mask, MARKS)
    assert mend(source, target, MARKS) == list(ids)
    spans = sum(b and not a for a, b in zip([False, *mask], mask))
    assert len(source) == mask.count(False) + spans and len(target) == mask.count(True) + spans + (not mask[-1])
    assert [i for i in source if i >= 1000] == [*MARKS[:spans]]                   # each sentinel once, in order

@settings(deadline=None)
@given(length=st.integers(2, 700), noise=st.floats(.01, .5), mean_span=st.floats(1, 12), seed=st.integers(0, 99))
@example(length=3, noise=.5, mean_span=1., seed=0)
def test_counts_of_any_mask(length, noise, mean_span, seed):
    wanted = min(max(round(length*noise), 1), length - 1)
    if max(round(wanted/mean_span), 1) > length - wanted:                         # as many spans as that have nothing between them
        with pytest.raises(ValueError, match="as many kept parts"): span_counts(length, noise, mean_span)
        return
    taken, spans = span_counts(length, noise, mean_span)
    assert taken == wanted
    mask = span_mask(length, np.random.default_rng(seed), noise, mean_span)
    assert len(mask) == length and mask.sum() == taken and not mask[0] and mask[-1] and (np.diff(mask.astype(int)) == 1).sum() == spans

@settings(deadline=None)
@given(source_len=st.integers(3, 600), noise=st.floats(.05, .5), mean_span=st.floats(2, 8))
def test_a_window_fills_its_source(source_len, noise, mean_span):
    window, target_len = window_lengths(source_len, noise, mean_span)
    source, target = corrupt(range(5, 5 + window), span_mask(window, np.random.default_rng(0), noise, mean_span), range(2000, 2400))
    assert len(source) + 1 == source_len and len(target) + 1 == target_len

@pytest.mark.parametrize("words", [Words.count(TEXTS, extra=SENTINELS), Subwords.train(TEXTS, 200, extra=SENTINELS)], ids=["words", "subwords"])
def test_loss_is_that_of_transformers(words):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    corpus = SpanCorruption(TEXTS, words, source_len=64, batch_size=8)
    ours = T5(T5Config(len(words), 32, 8, 64, 2, 2, 4)).eval()
    theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(decoder_start_token_id=0, **asdict(ours.config))).eval()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    batch = ids, labels = corpus.batches(0)[0]
    with torch.no_grad(): assert abs(corpus.loss(ours, batch)[0] - theirs(ids, labels=labels).loss) < 1e-5
    assert sentinel_ids(words)[:2] == [len(words) - 1, len(words) - 2] and ids.max() < len(words)

def test_a_killed_run_goes_on_exactly(tmp_path):
    words = Words.count(TEXTS, extra=SENTINELS)
    corpus = SpanCorruption(TEXTS, words, source_len=36, batch_size=16)
    def run(folder, stop=None):
        torch.manual_seed(0)
        learner = Learner(T5(T5Config(len(words), 16, 8, 32, 1, 1, 2)), corpus.loss, corpus.batches, epochs=2, folder=folder, save_seconds=0, valid=corpus.valid)
        if stop:
            step = learner.one_step
            def one_step(batch):
                if learner.step == stop: raise KeyboardInterrupt
                return step(batch)
            learner.one_step = one_step
        return learner.fit()
    with pytest.raises(KeyboardInterrupt): run(tmp_path/"a", stop=5)
    again, whole = run(tmp_path/"a"), run(tmp_path/"b")
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), whole.model.parameters())) and again.log[-1]["loss words"] == whole.log[-1]["loss words"]
