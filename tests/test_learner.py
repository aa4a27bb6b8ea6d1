"What the notebook does not test about the learner: a trusted schedule, the GPU's random state, TensorBoard over a kill, a notebook that somebody watches, memory of a real run."
import builtins, json, math, subprocess, sys
import pytest, torch
from p5_nb import learner as module
from p5_nb.learner import P5_RECIPE, Learner, linear, loss_curves, make_optimiser, random_state, read_log, set_random_state, training_memory
from p5_nb.pretrain.t5 import T5, T5Config

class Line(torch.nn.Module):
    "y = w x with noise."
    def __init__(self): super().__init__(); self.w = torch.nn.Parameter(torch.zeros(2, 3)); self.drop = torch.nn.Dropout(.1)
    def forward(self, x): return self.drop(x) @ self.w.T

def loss(model, x): return (model(x) - x[:, :2]).pow(2).mean(), {"left": (1., len(x))}
def batches(epoch): return list(torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(epoch)))

@pytest.mark.parametrize("steps, warmup", [(100, .05), (37, .1), (10, 0), (1, .5), (200, .02)])
def test_linear_is_what_transformers_does(steps, warmup):
    from transformers import get_linear_schedule_with_warmup
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.)
    schedule, theirs = get_linear_schedule_with_warmup(optimiser, int(warmup*steps), steps), []
    for _ in range(steps): theirs.append(schedule.get_last_lr()[0]); optimiser.step(); schedule.step()
    assert [linear(i, steps, warmup) for i in range(steps)] == theirs

@pytest.mark.parametrize("scale", [1, 1e-5])
def test_the_published_recipe_step_by_step(scale):
    "Weights after six epochs are those of torch's AdamW under transformers' schedule, with the published numbers; small gradients make eps count, a vector of ones decay."
    from transformers import get_linear_schedule_with_warmup
    ours, theirs = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    torch.nn.init.ones_(ours.bias); theirs.load_state_dict(ours.state_dict())
    def loss(model, x): return scale*(model(x) - x[:, :2]).pow(2).mean()
    Learner(ours, loss, batches, 6, **P5_RECIPE).fit()
    optimiser = torch.optim.AdamW(theirs.parameters(), lr=1e-3, eps=1e-6, weight_decay=.01)
    schedule = get_linear_schedule_with_warmup(optimiser, int(.05*42), 42)
    for x in [x for epoch in range(6) for x in batches(epoch)]:
        loss(theirs, x).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.)
        optimiser.step(); schedule.step(); optimiser.zero_grad()
    assert (ours.bias < .99).all() and all(torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(ours.parameters(), theirs.parameters()))

def test_adafactor_against_transformers():
    "The same steps from the same gradients, where the step size lies under both ceilings."
    from transformers.optimization import Adafactor
    rng, (a, b) = torch.Generator().manual_seed(0), (torch.nn.ParameterList([torch.nn.Parameter(torch.full((4, 6), .5))]) for _ in range(2))
    ours, theirs = make_optimiser(a, "adafactor", lr=1e-3), Adafactor(b.parameters(), lr=1e-3, relative_step=False, scale_parameter=True)
    for _ in range(20):
        a[0].grad = torch.randn(4, 6, generator=rng); b[0].grad = a[0].grad.clone()
        ours.step(); theirs.step()
    assert (a[0] - .5).abs().max() > 1e-3 and torch.allclose(a[0], b[0], rtol=0, atol=1e-6)

@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_memory_is_counted_to_the_byte(name):
    model = T5(T5Config(40, 16, 4, 32, 1, 1, 4))
    optimiser = make_optimiser(model, name)
    for p in model.parameters(): p.grad = torch.ones_like(p)
    optimiser.step()
    held = lambda tensors: sum(t.numel()*t.element_size() for t in tensors)
    got = {k: round(v*2**20) for k, v in training_memory(model, name, keep_best=True).items()}
    assert got == dict(weights=held(model.state_dict().values()), gradients=held(p.grad for p in model.parameters()), best=held(model.state_dict().values()),
                       optimiser=held(v for s in optimiser.state.values() for v in s.values()))

def test_accumulated_gradients_of_a_t5_are_those_of_the_joined_batch():
    torch.manual_seed(0)
    model = T5(T5Config(40, 16, 4, 32, 1, 1, 4, dropout_rate=0.))
    source, target = torch.randint(2, 40, (2, 8, 6), generator=torch.Generator().manual_seed(1))
    def answers(model, rows):
        each = model(source[rows], target[rows, :4]).log_softmax(-1).gather(-1, target[rows, 1:5, None]).mean((1, 2))
        return -each.mean(), {"all": (0., len(rows))}
    def gradients(pieces, n):
        learner = Learner(model, answers, batches, 1, accumulate=n)
        learner.gradients(*pieces)
        out = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        learner.optimiser.zero_grad()
        return out
    whole, parts = gradients([list(range(8))], 1), gradients([[0], [1, 2], [3, 4, 5, 6, 7]], 3)
    assert max(g.abs().max() for g in whole) > 1e-3 and all(torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(whole, parts))

def test_the_random_state_of_a_gpu_is_kept_and_put_back(tmp_path, monkeypatch):
    "No GPU is needed: torch's calls for one are played."
    now = {"state": torch.tensor([1, 2, 3], dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: now["state"])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: now.update(state=state))
    kept = random_state("cuda")
    now["state"] = torch.tensor([9], dtype=torch.uint8); set_random_state(kept)
    assert now["state"].tolist() == [1, 2, 3] and set(random_state("cpu")) == {"random"}
    one = Learner(Line(), loss, batches, 1, folder=tmp_path).fit()
    monkeypatch.setattr(Learner, "device", "cuda")
    one.save(); now["state"] = torch.tensor([9], dtype=torch.uint8); one.load()
    assert now["state"].tolist() == [1, 2, 3]
    one.valid = lambda model: now.update(state=torch.tensor([7], dtype=torch.uint8)) or {"x": 1.}
    one.validate()
    assert now["state"].tolist() == [1, 2, 3]

def test_a_checkpoint_of_before_the_options_goes_on(tmp_path, monkeypatch):
    whole = Learner(Line(), loss, batches, 2, folder=tmp_path/"whole").fit()
    stop = Learner(Line(), loss, batches, 2, folder=tmp_path/"old", save_seconds=0)
    stop.one_step = lambda *b: (_ for _ in ()).throw(KeyboardInterrupt) if stop.step == 5 else Learner.one_step(stop, *b)
    new = Learner.plan
    monkeypatch.setattr(Learner, "plan", lambda self: {k: v for k, v in new(self).items() if k not in self.recipe})
    with pytest.raises(KeyboardInterrupt): stop.fit()
    monkeypatch.setattr(Learner, "plan", new)
    assert torch.equal(Learner(Line(), loss, batches, 2, folder=tmp_path/"old").fit().model.w, whole.model.w)
    with pytest.raises(ValueError, match="weight_decay changed"): Learner(Line(), loss, batches, 2, folder=tmp_path/"old", weight_decay=.1).fit()

def test_an_ended_run_gives_its_best_weights_again(tmp_path, capsys):
    values = [.1, .3, .2, .2, .9]
    def run():
        rest = iter(values)
        return Learner(Line(), loss, batches, 5, folder=tmp_path, valid=lambda m: {"hit@5": next(rest)}, better="hit@5", patience=2).fit()
    first, again = run(), run()
    assert first.epoch == again.epoch == 4 and again.best_epoch == 2 and torch.equal(first.model.w, again.model.w)
    assert capsys.readouterr().out.count("training: stopped after epoch 4 of 5, hit@5 was not better for 2 validation(s); the weights are those of epoch 2") == 2
    assert [e["best_epoch"] for e in read_log(tmp_path)] == [1, 2, 2, 2]

def test_without_patience_the_best_of_all_epochs_is_kept():
    rest = iter([.4, .1, math.nan, .2])
    got = Learner(Line(), loss, batches, 4, valid=lambda m: {"loss": next(rest)}, better="loss").fit()
    assert got.epoch == 4 and (got.best, got.best_epoch) == (.1, 2)
    assert got.log[1]["valid loss"] == .1 and got.log[1]["loss"] != .1                       # training's loss is not overwritten

def test_tensorboard_tells_what_the_log_tells_even_after_a_kill(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    def make(epoch_of_death):
        def valid(model):
            if one.epoch == epoch_of_death: raise KeyboardInterrupt
            return {"hit@5": model.w.sum().item()}
        one = Learner(Line(), loss, batches, 4, folder=tmp_path, valid=valid, valid_every=1, tensorboard=True, save_seconds=1e9)
        return one
    with pytest.raises(KeyboardInterrupt): make(3).fit()                                     # two epochs are told, none is in a checkpoint
    log = make(None).fit().log
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "loss/left", "hit_5", "seconds"}
    for tag, name in {"loss": "loss", "loss/left": "loss left", "hit_5": "hit@5"}.items():
        assert [(e.step, e.value) for e in events.Scalars(tag)] == [(e["epoch"], pytest.approx(e[name])) for e in log]

def test_without_tensorboard_the_message_says_what_to_do(tmp_path, monkeypatch):
    real = builtins.__import__
    def lacking(name, *a, **k):
        if name.startswith("torch.utils.tensorboard"): raise ModuleNotFoundError("No module named 'tensorboard'")
        return real(name, *a, **k)
    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ImportError, match="pip install tensorboard"): Learner(Line(), loss, batches, 1, folder=tmp_path, tensorboard=True)

WATCHED = """
import os, torch
from p5_nb.learner import Learner
class Line(torch.nn.Module):
    def __init__(self): super().__init__(); self.w = torch.nn.Parameter(torch.zeros(1))
def loss(model, x): return (model.w - 3).pow(2).mean(), {"rating": (1., 2)}
def run(live=None): Learner(Line(), loss, lambda epoch: [0, 1], 3, live=live).fit()
""", "run(True)", "run()", "os.environ['P5NB_STATIC'] = '1'; run(True)"

def test_a_watched_notebook_holds_the_last_curves_once(monkeypatch):
    "And a short run none, unless asked for; and none where pages are made for later readers."
    import nbformat
    from nbclient import NotebookClient
    monkeypatch.delenv("P5NB_STATIC", raising=False)
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in WATCHED])
    NotebookClient(page, timeout=300, kernel_name="python3").execute()
    shown = [[o.data["text/html"] for o in c.outputs if o.output_type != "stream"] for c in page.cells]
    assert [len(s) for s in shown] == [0, 1, 0, 0] and 'alt="Losses and validation after epoch 3 of 3' in shown[1][0]

def test_curves_of_a_finished_run(tmp_path):
    log = [dict(epoch=i, step=i, seconds=1., loss=2./i, best_epoch=min(i, 2)) | {"loss rating": 1./i} | ({"hit@5": .1*i} if i != 2 else {}) for i in (1, 2, 3)]
    (tmp_path/"log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in log))
    left, right = loss_curves(tmp_path).axes
    assert {l.get_label(): list(l.get_ydata()) for l in left.lines[:2]} == {"rating": [1., .5, 1/3], "all": [2., 1., 2/3]}
    assert list(right.lines[0].get_xdata()) == [1, 3] and right.lines[1].get_xdata()[0] == left.lines[2].get_xdata()[0] == 2
    assert len(loss_curves([dict(epoch=1, step=1, seconds=1., loss=2.)]).axes) == 1

MEMORY = """
import numpy as np
from p5_nb.index.ids import random_index
from p5_nb.predict.sequential import PRESETS, Sequential
from p5_nb.learner import peak_mb
PRESETS["small"] |= dict(epochs=1, budget=2048)
rng = np.random.default_rng(0)
learner = Sequential(random_index(2000), "small").fit([rng.permutation(2000)[:rng.integers(5, 21)] for _ in range(600)])
print(learner.memory["total"], peak_mb())
"""

def test_the_memory_told_before_a_real_run_is_what_it_needs():
    told, needed = map(float, subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=300, check=True).stdout.split()[-2:])
    assert abs(told - needed) < .2*needed
