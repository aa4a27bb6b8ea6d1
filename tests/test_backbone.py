"Our T5, transformers' and wrapped ones: the same folders, the same scores, the same texts."
import json
from dataclasses import asdict
import pytest, torch
from hypothesis import given, settings, strategies as st
from p5_nb.pretrain.backbone import Published, load_t5, read_weights, save_t5
from p5_nb.pretrain.generate import SlowPen, beam, greedy
from p5_nb.pretrain.t5 import T5, T5Config
transformers = pytest.importorskip("transformers")
transformers.utils.logging.disable_progress_bar(); transformers.utils.logging.set_verbosity_error()

KINDS = {"t5": {}, "untied": dict(tie_word_embeddings=False), "gated": dict(feed_forward_proj="gated-gelu"), "v1.1": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)}
SEARCHES = [dict(beams=2, length_penalty=0., early_stopping="never"), dict(beams=3, length_penalty=1., early_stopping=False), dict(beams=4, length_penalty=2., early_stopping=True), dict(beams=3, length_penalty=-1., early_stopping="never", min_length=3)]
MOST = 7

def stir(model):
    "Fresh weights repeat one token; now they vary, and the end mark comes often or never."
    with torch.no_grad():
        for p in model.decoder.block.parameters(): p *= 2
        if not model.config.tie_word_embeddings: model.lm_head.weight *= model.config.d_model**-.5       # scores near one, as where the head is tied
        (model.shared if model.config.tie_word_embeddings else model.lm_head).weight[1] *= 3
    return model

def batch(vocab, width=7, rows=3):
    ids, mask = torch.randint(2, vocab, (rows, width)), torch.ones(rows, width, dtype=torch.long)
    for row in range(1, rows): mask[row, torch.randint(1, width + 1, (1,)):] = 0
    return ids*mask, mask, torch.randint(2, vocab, (rows, 4))

def theirs_of(folder, **kw):
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder, **kw).eval()
    model.config.use_cache = model.generation_config.use_cache = model.config.num_decoder_layers <= model.config.num_layers   # transformers 5 makes its cache as deep as the encoder
    return model

def upto(end, ids): return [row[:row.index(end) + 1] if end in row else row for row in ids.flatten(0, -2).tolist()]

def searches(model, theirs, ids, mask, end=1, settings=SEARCHES, most=MOST, tol=1e-5):
    "Greedy and beams of our functions against transformers' own."
    common = dict(attention_mask=mask, max_new_tokens=most, do_sample=False, return_dict_in_generate=True)
    for least in (0, 3): assert upto(end, greedy(model, ids, mask, most, min_length=least)[0]) == upto(end, theirs.generate(ids, min_new_tokens=least or None, **common).sequences[:, 1:])
    for s in settings:
        kw = {k: v for k, v in s.items() if k not in ("beams", "min_length")}
        text, score = beam(model, ids, mask, most=most, keep=s["beams"], **s)
        other = theirs.generate(ids, num_beams=s["beams"], num_return_sequences=s["beams"], min_new_tokens=s.get("min_length"), output_scores=True, **kw, **common)
        assert upto(end, text) == upto(end, other.sequences[:, 1:]), s
        assert torch.allclose(score.flatten(), other.sequences_scores, atol=tol), s

@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(KINDS)), st.sampled_from([(1, 8), (2, 4), (3, 5), (4, 8)]), st.integers(1, 3), st.integers(1, 3), st.sampled_from([(32, 128), (8, 6)]), st.integers(0, 2**16))
def test_folders_both_ways(tmp_path_factory, kind, heads, encoder, decoder, distance, seed):
    "Ours saved → theirs → saved → ours: equal scores, greedy and beam texts, with padding."
    torch.manual_seed(seed)
    folder = tmp_path_factory.mktemp("t5")
    ours = stir(T5(T5Config(16, 24, heads[1], 40, encoder, decoder, heads[0], *distance, **KINDS[kind]))).double().eval()
    save_t5(ours, folder/"ours")
    theirs = theirs_of(folder/"ours", dtype=torch.float64)
    theirs.save_pretrained(folder/"theirs")
    again = load_t5(folder/"theirs").double().eval()
    assert again.config == ours.config
    ids, mask, labels = batch(16)
    with torch.no_grad(): want = theirs(ids, attention_mask=mask, labels=labels).logits
    for model in (ours, load_t5(folder/"ours").double(), again):
        with torch.no_grad(): assert torch.allclose(model(ids, labels, mask), want, atol=1e-5)
    searches(again, theirs, ids, mask)
    searches(Published(theirs).eval(), theirs, ids, mask)

@pytest.mark.parametrize("kind", ["t5", "v1.1"])
def test_what_transformers_made(tmp_path, kind):
    "A model that was never ours: its weights and its configuration."
    torch.manual_seed(3)
    made = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=30, d_model=16, d_kv=6, d_ff=20, num_layers=2, num_heads=2, decoder_start_token_id=0, **KINDS[kind])).eval()
    made.save_pretrained(tmp_path)
    ids, mask, labels = batch(30)
    with torch.no_grad(): assert torch.allclose(load_t5(tmp_path)(ids, labels, mask), made(ids, attention_mask=mask, labels=labels).logits, atol=1e-5)

def test_a_folder_as_the_old_ones_were(tmp_path):
    "Copies of the embedding, an unused distance table, few fields, several files."
    torch.manual_seed(1)
    ours = T5(T5Config(20, 16, 4, 32, 2, 2, 3)).eval()
    save_t5(ours, tmp_path)
    from safetensors.torch import save_file
    state = read_weights(tmp_path)
    old = {**state, **{f"{part}.embed_tokens.weight": state["shared.weight"].clone() for part in ("encoder", "decoder")}, "lm_head.weight": state["shared.weight"].clone(), "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(32, 3)}
    names = sorted(old)
    for part in (0, 1): save_file({n: old[n].half() for n in names[part::2]}, tmp_path/f"model-{part}.safetensors")
    (tmp_path/"model.safetensors").unlink()
    (tmp_path/"model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {n: f"model-{i % 2}.safetensors" for i, n in enumerate(names)}}))
    c = {k: v for k, v in json.loads((tmp_path/"config.json").read_text()).items() if k in ("model_type", "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "decoder_start_token_id")}
    (tmp_path/"config.json").write_text(json.dumps(c))
    ids, mask, labels = batch(20)
    with torch.no_grad(): assert torch.allclose(load_t5(tmp_path)(ids, labels, mask), ours(ids, labels, mask), atol=.05)
    with torch.no_grad(): assert torch.allclose(load_t5(tmp_path)(ids, labels, mask), theirs_of(tmp_path, dtype=torch.float32)(ids, attention_mask=mask, labels=labels).logits, atol=1e-5)

def test_an_index_points_to_its_folder_only(tmp_path):
    (tmp_path/"model.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}')
    with pytest.raises(ValueError, match="outside of its folder"): read_weights(tmp_path)

def test_the_shape_of_t5_base(tmp_path):
    "Random weights in the published shape; the count is known, the scores and texts are theirs."
    torch.manual_seed(0)
    ours = T5(T5Config(32128, 768, 64, 3072, 12, 12, 12)).eval()
    assert sum(p.numel() for p in ours.parameters()) == 222_903_552
    save_t5(ours, tmp_path)
    theirs = theirs_of(tmp_path, dtype=torch.float32)
    ids, mask, labels = batch(32100, 6, 2)
    with torch.no_grad(): got, want = ours(ids, labels, mask), theirs(ids, attention_mask=mask, labels=labels).logits
    assert (got - want).abs().max() < 1e-5*want.abs().max()
    searches(ours, theirs, ids, mask, settings=SEARCHES[1:2], most=4, tol=1e-3)

def bart(**kw): return transformers.BartForConditionalGeneration(transformers.BartConfig(vocab_size=20, d_model=16, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=20, init_std=1., forced_eos_token_id=None, **kw)).double().eval()

def mt5(): return transformers.MT5ForConditionalGeneration(transformers.MT5Config(vocab_size=20, d_model=16, d_kv=4, d_ff=20, num_layers=2, num_heads=3)).double().eval()

@pytest.mark.parametrize("make,end", [(lambda: bart(encoder_layers=2, decoder_layers=2), 2), (lambda: bart(encoder_layers=2, decoder_layers=1, scale_embedding=True), 2), (mt5, 1)], ids=["bart", "scaled bart", "mt5"])
def test_others_behind_the_interface(tmp_path, make, end):
    torch.manual_seed(5)
    theirs = make()
    if hasattr(theirs, "final_logits_bias"): theirs.final_logits_bias.normal_()
    wrapped, (ids, mask, labels) = Published(theirs, whole_words=6).eval(), batch(20)
    searches_without_table = Published(theirs).eval()
    searches(searches_without_table, theirs, ids, mask, end)
    place = torch.randint(0, 6, ids.shape)*mask
    states = wrapped.encode(ids, mask, place)
    text = beam(wrapped, ids, mask, 3, MOST, keep=3, whole_word_ids=place)
    wrapped.__class__ = type("Slow", (Published,), {"pen": lambda self, *a: SlowPen(self, *a)})                # the same without a cache
    slow = beam(wrapped, ids, mask, 3, MOST, keep=3, whole_word_ids=place)
    assert torch.equal(text[0], slow[0]) and torch.allclose(text[1], slow[1], atol=1e-5)
    wrapped.__class__ = Published
    with pytest.raises(ValueError, match="as_published=True"): greedy(wrapped, ids, mask)
    assert torch.equal(greedy(wrapped, ids, mask, as_published=True)[0], greedy(searches_without_table, ids, mask)[0])
    with torch.no_grad(): assert (states - wrapped.encode(ids, mask)).abs().max() > 1e-3                        # the table does something
    wrapped.save(tmp_path)
    back = Published.load(tmp_path).double().eval()
    assert torch.equal(beam(back, ids, mask, 3, MOST, keep=3, whole_word_ids=place)[0], text[0])

def test_a_wrapped_t5_is_ours_with_whole_words(tmp_path):
    torch.manual_seed(2)
    ours = stir(T5(T5Config(18, 16, 4, 32, 2, 3, 2, whole_words=9))).double().eval()
    save_t5(ours, tmp_path)
    wrapped = Published(theirs_of(tmp_path, dtype=torch.float64), 9).eval()
    wrapped.whole_word_embeddings.load_state_dict(ours.encoder.whole_word_embeddings.state_dict())
    ids, mask, labels = batch(18)
    place = torch.randint(0, 9, ids.shape)*mask
    assert torch.allclose(wrapped(ids, labels, mask, place), ours(ids, labels, mask, place), atol=1e-5)
    for kw in (dict(whole_word_ids=place), dict(as_published=True)):
        for search in (greedy, beam): assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(search(wrapped, ids, mask, most=MOST, **kw), search(ours, ids, mask, most=MOST, **kw)))
    wrapped(ids, labels, mask, place).square().mean().backward()
    ours(ids, labels, mask, place).square().mean().backward()
    assert torch.allclose(wrapped.whole_word_embeddings.weight.grad, ours.encoder.whole_word_embeddings.weight.grad, atol=1e-5)

def test_allowed_tokens_as_transformers_allows_them():
    torch.manual_seed(4)
    ours = stir(T5(T5Config(18, 16, 4, 32, 2, 2, 2))).double().eval()
    theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(decoder_start_token_id=0, **asdict(ours.config))).double().eval()
    theirs.load_state_dict(ours.state_dict(), strict=False); theirs.tie_weights()
    ids, mask, _ = batch(18)
    open_ = torch.rand(3, 18) < .5
    open_[:, 1] = True
    rule = lambda row, written: open_[row].nonzero()[:, 0].tolist()
    common = dict(attention_mask=mask, max_new_tokens=MOST, prefix_allowed_tokens_fn=rule, do_sample=False)
    assert upto(1, greedy(ours, ids, mask, MOST, allowed=open_)[0]) == upto(1, theirs.generate(ids, **common)[:, 1:])
    assert upto(1, beam(ours, ids, mask, 3, MOST, keep=3, allowed=open_)[0]) == upto(1, theirs.generate(ids, num_beams=3, num_return_sequences=3, **common)[:, 1:])
