"""Laws that every generative model obeys, as one public function."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

from manifold_gen.checkpoint import load, save_model
from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.wrapped_normal import WrappedNormal
from manifold_gen.models.base import GenerativeModel
from manifold_gen.seeds import generator
from manifold_gen.testing.distribution_laws import check_integral_and_agreement

_ROWS = 12
_NUDGE = 0.05
_SPOTS = 2
_SPOT_WIDTH = 0.35
_GAIN = 0.4


def check_model(
    model: GenerativeModel,
    data: Tensor,
    context: Tensor | None = None,
    *,
    density: bool = True,
    learns: bool = True,
    steps: int = 150,
    batch: int = 128,
    lr: float = 5e-3,
    samples: int = 2000,
    seed: int = 0,
) -> None:
    """Assert every law on a copy; the message of the ``AssertionError`` names the law and the numbers.

    - *losses*: every term is ``(batch,)``, finite, decided by the generator, and ``loss`` is their sum.
    - *gradient*: each parameter, moved a little off its start, receives one that is finite and not all zero.
    - *learning*: a short training on two spots of the data raises their mean log-density by 0.4 nats, or lowers the
      loss of a model without a density by as much.
    - *samples*: on the manifold, decided by the generator.
    - *density*: ``sample_and_log_prob`` draws what ``exact_sample`` does, with the density of ``log_prob``.
    - *agreement*: after that training, samples and ``log_prob`` describe one density of integral 1, see
      ``check_distribution``.
    - *saving*: the saved and loaded model gives the same ``log_prob`` and samples, bit for bit.

    Args:
        model: an untrained model small enough to train here, in the dtype of ``data``.
        data: points ``(N, *shape)`` of its manifold, N ≥ 12.
        context: ``(N, …)`` rows that go with them, for a conditional model.
        density: False for a sampler that has no ``log_prob``.
        learns: False for a model whose parameters are not to be trained by gradient steps.
        steps, batch, lr: of the training, with Adam.
        samples: points of each source in the law of agreement; more find smaller faults.
        seed: of every draw.

    Raises:
        AssertionError: a law is broken.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> from manifold_gen.models import FreeFormFlow
        >>> circle = Torus(1)
        >>> flow = FreeFormFlow(circle, width=16, depth=1, frequency=2.0)
        >>> check_model(flow, circle.random_uniform(20, generator=generator(0)), steps=80, samples=1000)
    """
    model = copy.deepcopy(model).to(data)
    check_losses(model, data, context, seed)
    check_gradients(model, data, context, seed)
    if learns:
        model = check_learning(model, data, context, density=density, steps=steps, batch=batch, lr=lr, seed=seed)
    check_samples(model, context, seed)
    if density:
        check_density(model, data, context, seed, samples)
    check_saving(model, data, context, density=density, seed=seed)


def check_losses(model: GenerativeModel, data: Tensor, context: Tensor | None = None, seed: int = 0) -> None:
    """Named terms of shape ``(batch,)`` that the generator decides, and ``loss`` is their sum."""
    x, here = _rows(data, context)
    auxiliary = model.auxiliary(_ROWS, generator(seed, 0))
    for name, rows in auxiliary.items():
        assert rows.shape[0] == _ROWS, f"losses: auxiliary {name!r} has shape {tuple(rows.shape)}, not a row a sample"
    terms = model.losses(x, here, auxiliary)
    assert terms, "losses: there are no terms"
    for name, term in terms.items():
        assert term.shape == (_ROWS,), f"losses: {name!r} has shape {tuple(term.shape)}, expected {(_ROWS,)}"
        assert bool(term.isfinite().all()), f"losses: {name!r} is not finite: {term.tolist()}"
    before = torch.get_rng_state()
    first, again = (model.loss(x, here, generator(seed, 0)) for _ in range(2))
    assert first.shape == (_ROWS,), f"losses: loss has shape {tuple(first.shape)}, expected {(_ROWS,)}"
    assert torch.equal(first, again), "losses: equal generators give different losses"
    assert torch.equal(before, torch.get_rng_state()), "losses: the global random state was touched"
    total = torch.stack(list(terms.values())).sum(0)
    tolerance = 100 * torch.finfo(x.dtype).eps * (1 + float(total.detach().abs().max()))
    assert bool(((first - total).abs() <= tolerance).all()), "losses: loss is not the sum of its terms"


def check_gradients(model: GenerativeModel, data: Tensor, context: Tensor | None = None, seed: int = 0) -> None:
    """Each parameter of the model, moved a little off its start, gets a gradient that is finite and not all zero."""
    model = copy.deepcopy(model)
    stream = generator(seed, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(_NUDGE * torch.randn(parameter.shape, generator=stream).to(parameter))
    x, here = _rows(data, context)
    model.loss(x, here, generator(seed, 2)).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"gradient: {name} gets none"
        assert bool(parameter.grad.isfinite().all()), f"gradient: that of {name} is not finite"
        assert bool((parameter.grad != 0).any()), f"gradient: that of {name} is zero"


def check_learning(
    model: GenerativeModel,
    data: Tensor,
    context: Tensor | None = None,
    *,
    density: bool = True,
    steps: int = 150,
    batch: int = 128,
    lr: float = 5e-3,
    seed: int = 0,
) -> GenerativeModel:
    """A short training on two spots of the data raises their mean log-density; returns the trained copy."""
    model = copy.deepcopy(model).train()
    spots = Mixture(WrappedNormal(model.manifold, data[:_SPOTS], _SPOT_WIDTH), torch.zeros(_SPOTS)).to(data)
    held = spots.sample(256, generator=generator(seed, 3))
    own = _first_repeated(context, 256)
    beside = _first_repeated(context, batch)

    def value() -> float:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a point without preimage counts as very unlikely
            if density:
                return float(model.log_prob(held, own).clamp_min(-20.0).mean())
            return -float(model.loss(held, own, generator(seed, 4)).mean())

    start = value()
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * (1 - step / steps)
        model.set_progress(step / steps)
        stream = generator(seed, 5, step)
        loss = model.loss(spots.sample(batch, generator=stream), beside, stream)
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
    model.set_progress(1.0)
    gain = value() - start
    assert gain > _GAIN, f"learning: {steps} steps on two spots gained {gain:.3f} nats, expected more than {_GAIN}"
    return model.eval()


def check_samples(model: GenerativeModel, context: Tensor | None = None, seed: int = 0) -> None:
    """``sample`` gives points of the manifold, as many as were asked for, that the generator decides."""
    here = None if context is None else context[:_ROWS]
    before = torch.get_rng_state()
    x, again = (model.sample(_ROWS, here, generator(seed, 6)) for _ in range(2))
    other = model.sample(_ROWS, here, generator(seed, 7))
    expected = (_ROWS, *model.manifold.shape)
    assert x.shape == expected, f"samples: shape {tuple(x.shape)}, expected {expected}"
    inside, reason = model.manifold._check_point_on_manifold(x, atol=1e-4)
    assert inside, f"samples: they leave the manifold: {reason}"
    assert torch.equal(x, again), "samples: equal generators give different ones"
    assert not torch.equal(x, other), "samples: different generators give the same ones"
    assert torch.equal(before, torch.get_rng_state()), "samples: the global random state was touched"


def check_density(
    model: GenerativeModel, data: Tensor, context: Tensor | None = None, seed: int = 0, samples: int = 2000
) -> None:
    """``log_prob`` takes any batch, draws nothing, and is the density of the samples with integral 1."""
    given = _Given(model, None if context is None else context[0])
    x, shape = data[:6], model.manifold.shape
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # unconverged points have density 0, which the laws weigh
        flat = given.log_prob(x)
        assert flat.shape == (6,), f"density: log_prob of 6 points has shape {tuple(flat.shape)}"
        assert torch.equal(flat, given.log_prob(x)), "density: two calls of log_prob differ"
        tolerance = 1e4 * torch.finfo(x.dtype).eps * (1 + flat.abs().clamp_max(1e3))
        for batch, points, values in (((), x[0], flat[0]), ((2, 3), x.reshape(2, 3, *shape), flat.reshape(2, 3))):
            got = given.log_prob(points)
            assert got.shape == batch, f"density: batch {batch} gave log_prob of shape {tuple(got.shape)}"
            same = ((got - values).abs() <= tolerance.reshape(-1)[: values.numel()].reshape(batch)) | (got == values)
            assert bool(same.all()), f"density: batch {batch} changes the value of log_prob"
        check_integral_and_agreement(given, seed, samples)
        check_drawn_density(model, context, seed)


def check_drawn_density(model: Distribution, context: Tensor | None = None, seed: int = 0, misses: int = 2) -> None:
    """``sample_and_log_prob`` draws what ``exact_sample`` does, with the density that ``log_prob`` finds there.

    At ``misses`` points of twelve it may find another one: a decoder that folds has two preimages there, or none.
    """
    here = None if context is None else context[:_ROWS]
    x, drawn = model.sample_and_log_prob(_ROWS, here, generator(seed, 9))
    expected = model.exact_sample(_ROWS, here, generator(seed, 9))
    near = 1e3 * torch.finfo(x.dtype).eps * (1 + expected.abs().max())
    assert bool(((x - expected).abs() <= near).all()), (
        "density: sample_and_log_prob draws other points than exact_sample"
    )
    assert drawn.shape == (_ROWS,), f"density: sample_and_log_prob gives log_prob of shape {tuple(drawn.shape)}"
    off = (drawn - model.log_prob(x, here)).abs()
    wrong = int((~(off <= 5e-3 * (1 + drawn.abs()))).sum())
    assert wrong <= misses, f"density: sample_and_log_prob and log_prob differ at {wrong} of {_ROWS} points"


def check_saving(
    model: GenerativeModel, data: Tensor, context: Tensor | None = None, *, density: bool = True, seed: int = 0
) -> None:
    """A model that was saved and loaded scores and samples exactly as before."""
    x, here = _rows(data, context)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # log_prob of points far from what was learned
        loaded = load(save_model(Path(folder) / "run", model), device=data.device)
        assert loaded.hyperparameters == model.hyperparameters, "saving: the hyperparameters changed"
        if density:
            scores = model.log_prob(x, here), loaded.log_prob(x, here)
            assert torch.equal(*scores), "saving: the loaded model has another log_prob"
        drawn = [one.sample(_ROWS, here, generator(seed, 8)) for one in (model, loaded)]
        assert torch.equal(*drawn), "saving: the loaded model draws other samples"


class _Given(Distribution):
    """A model under one context, as a distribution without any."""

    def __init__(self, model: GenerativeModel, row: Tensor | None) -> None:
        super().__init__(model.manifold)
        self.model, self.row = model, row

    def _under(self, batch: tuple[int, ...]) -> Tensor | None:
        return None if self.row is None else self.row.expand((*batch, *self.row.shape))

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        return self.model.sample(n, self._under((n,)), generator)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.model.log_prob(x, self._under(x.shape[: x.dim() - len(self.manifold.shape)]))


def _first_repeated(context: Tensor | None, n: int) -> Tensor | None:
    return None if context is None else context[:1].expand(n, *context.shape[1:])


def _rows(data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if len(data) < _ROWS:
        raise ValueError(f"check_model takes at least {_ROWS} points, got {len(data)}")
    return data[:_ROWS], None if context is None else context[:_ROWS]
