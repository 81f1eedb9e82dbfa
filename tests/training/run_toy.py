"""Trains the toy in a process of its own: ``run_toy.py OUT STEPS BATCH [resume] [flow]``.

Ends with the error's exit code; ``flow`` takes a small free-form flow for the toy.
"""

import sys

from toys import VonMises, torus_data

from manifold_gen.errors import ManifoldGenError
from manifold_gen.models import resolve
from manifold_gen.training import TrainingConfig, fit


def train(out, steps, batch, flow=False, **options):
    data = torus_data()
    model = VonMises(data.manifold, width=64, noise=0.1)
    if flow:
        model = resolve("free-form-flow")(data.manifold, width=16, depth=1, frequency=2.0, noise=0.1)
    config = TrainingConfig(
        steps=steps,
        batch_size=batch,
        precision="float64",
        eval_every=13,
        log_every=5,
        checkpoint_every=5,
        threads=1,
        device="cpu",
    )
    return fit(model, data, config, out, quiet=True, **options)


def main(out, steps, batch, *options):
    try:
        train(out, int(steps), int(batch), resume="resume" in options, flow="flow" in options)
    except ManifoldGenError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
