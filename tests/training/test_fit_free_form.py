"""The flagship model through training, interruption, resuming, saving and loading."""

import os
import signal

import pytest
import torch
from toys import torus_data

from manifold_gen.checkpoint import RunFolder, load
from manifold_gen.checkpoint.folder import WEIGHTS
from manifold_gen.models import resolve
from manifold_gen.training import Interrupted, TrainingConfig, fit
from manifold_gen.training.config import CHOICES


def train(out, optimiser, callbacks=(), **options):
    data = torus_data()
    model = resolve("free-form-flow")(data.manifold, width=16, depth=1, frequency=2.0, noise=0.1, annealing=0.5)
    config = TrainingConfig(
        steps=20, batch_size=32, optimiser=optimiser, log_every=1, eval_every=6, checkpoint_every=4, device="cpu"
    )
    return fit(model, data, config, out, callbacks=callbacks, quiet=True, **options)


@pytest.mark.parametrize("optimiser", CHOICES["optimiser"])
def test_interrupted_and_resumed_is_bit_identical_and_loads(tmp_path, optimiser):
    straight = train(tmp_path / "straight", optimiser)

    def interrupt(record):
        if record["step"] == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="after step") as caught:
        train(tmp_path / "run", optimiser, callbacks=[interrupt])
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert RunFolder(tmp_path / "run").read_metrics()[-1]["step"] < 10
    resumed = train(tmp_path / "run", optimiser, resume=True)
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == (tmp_path / "straight" / WEIGHTS).read_bytes()
    assert resumed.best_step == straight.best_step
    x = torus_data().test.x
    again = load(tmp_path / "run")
    assert again.progress == resumed.model.progress
    assert torch.equal(again.score(x).log_prob, straight.model.score(x).log_prob)
