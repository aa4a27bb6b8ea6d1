"Kill a training with SIGKILL at random moments: after resuming, weights equal an undisturbed run's bit for bit."
import random, signal, subprocess, sys, time
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

def train(folder): return subprocess.Popen([sys.executable, "-c", TRAIN, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

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
