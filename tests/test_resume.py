"Kill a training with SIGKILL at random moments: after resuming, weights equal an undisturbed run's bit for bit."
import json, random, signal, subprocess, sys, time
import pytest, torch
from safetensors.torch import load_file

TRAIN = """
import sys, numpy as np, torch
from p5_nb.index.ids import random_index
from p5_nb.predict.sequential import PRESETS, Sequential
PRESETS["smoke"] |= dict(epochs=10, budget=128)
import p5_nb.learner as learner
start = learner.Learner.__init__
learner.Learner.__init__ = lambda self, *a, **k: start(self, *a, **k | dict(save_seconds=0.1))
rng = np.random.default_rng(0)
sequences = [rng.permutation(50)[:rng.integers(2, 25)] for _ in range(120)]
model = Sequential(random_index(50), "smoke")
model.fit(sequences, sys.argv[1])
model.save(sys.argv[1])
"""

def train(folder, program=TRAIN): return subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

def wait_for(process):
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error.decode()[-2000:]

def test_three_kills_change_nothing(tmp_path):
    whole, broken = tmp_path/"whole", tmp_path/"broken"
    wait_for(train(whole))
    rng, kills = random.Random(), 0
    for _ in range(3):
        process = train(broken)
        until = time.time() + 120
        while not (broken/"checkpoint.safetensors").exists() and process.poll() is None and time.time() < until: time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.6))
        if process.poll() is None: process.send_signal(signal.SIGKILL); kills += 1
        process.wait()
        assert not (broken/"model.safetensors").exists() or process.returncode == 0
    wait_for(train(broken))
    assert kills, "every run ended before it could be killed"
    a, b = (load_file(folder/"model.safetensors") for folder in (whole, broken))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

OPTIONS = """
import sys, time, torch
from safetensors.torch import save_file
from p5_nb.learner import Learner
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Dropout(.3), torch.nn.Linear(32, 8))
def batches(epoch): return list(torch.randn(20, 16, 8, generator=torch.Generator().manual_seed(epoch)).split([1]*20))
def loss(model, x): time.sleep(.002); return (model(x[0, :9]) - x[0, :9].roll(1, 1)).pow(2).mean(), {"all": (0., 9)}
def valid(model): return {"loss": (model(batches(99)[0][0]) - batches(99)[0][0].roll(1, 1)).pow(2).mean().item() + .2*torch.rand(()).item()}
learner = Learner(model, loss, batches, 60, 2e-2, folder=sys.argv[1], save_seconds=.05, optimiser="adafactor", schedule="linear", weight_decay=.01,
                  accumulate=3, valid=valid, better="loss", patience=6).fit()
save_file(model.state_dict() | {"where": torch.tensor([learner.epoch, learner.best_epoch, learner.stale, learner.step])}, sys.argv[1] + "/model.safetensors")
"""

def test_kills_change_nothing_with_every_option(tmp_path, monkeypatch):
    "Adafactor, steps of three batches, and a stop that depends on what was measured before the kill."
    whole, broken = tmp_path/"whole", tmp_path/"broken"
    def to_the_end(folder): monkeypatch.setattr(sys, "argv", ["", str(folder)]); exec(OPTIONS, {})
    to_the_end(whole)
    rng, kills = random.Random(), 0
    for _ in range(2):
        process = train(broken, OPTIONS)
        until, before = time.time() + 120, (broken/"checkpoint.safetensors").stat().st_mtime_ns if (broken/"checkpoint.safetensors").exists() else 0
        while process.poll() is None and time.time() < until and (not (broken/"checkpoint.safetensors").exists() or (broken/"checkpoint.safetensors").stat().st_mtime_ns == before): time.sleep(.005)
        time.sleep(rng.uniform(0, .4))
        if process.poll() is None: process.send_signal(signal.SIGKILL); kills += 1
        process.wait()
    to_the_end(broken)
    assert kills, "every run ended before it could be killed"
    a, b = (load_file(folder/"model.safetensors") for folder in (whole, broken))
    assert 6 < a["where"][0] < 60 and a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    told = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (folder/"log.jsonl").read_text().splitlines()] for folder in (whole, broken)]
    assert told[0] == told[1]

@pytest.mark.parametrize("change", ["plan", "cut"])
def test_a_foreign_or_damaged_checkpoint_is_refused(tmp_path, change):
    import numpy as np
    from p5_nb.index.ids import random_index
    from p5_nb.predict.sequential import Sequential
    sequences = [np.arange(i, i + 5) for i in range(20)]
    Sequential(random_index(30), "smoke", seed=0).fit(sequences, tmp_path)
    if change == "plan":
        with pytest.raises(ValueError, match="seed changed"): Sequential(random_index(30), "smoke", seed=1).fit(sequences, tmp_path)
    else:
        path = tmp_path/"checkpoint.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(Exception): Sequential(random_index(30), "smoke", seed=0).fit(sequences, tmp_path)
