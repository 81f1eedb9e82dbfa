"""A network that reads properties off a molecule, to judge whether generated ones have those they were asked for.

The protocol of Hoogeboom and others: the network is trained on one half of QM9's training molecules, the generator on
the other; the mean absolute difference between the property asked for and the network's value on what was drawn is read
beside the network's own error on real molecules, below which it cannot tell.

Source: Hoogeboom, Satorras, Vignac and Welling, *Equivariant diffusion for molecule generation in 3D* (2022), section
5.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from manifold_gen.chemistry.bonds import ELEMENTS
from manifold_gen.chemistry.elements import element_symbol
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.molecules import MoleculeFormat, property_values
from manifold_gen.errors import UsageError
from manifold_gen.metrics.base import Estimate, mean_estimate
from manifold_gen.networks.invariant import InvariantNetwork
from manifold_gen.training.config import TrainingConfig
from manifold_gen.training.ema import MovingAverage
from manifold_gen.training.muon import Muon
from manifold_gen.training.schedule import learning_rate

_CHUNK = 500
_LEAST = 1e-6  # of σ, in the unit of the property: what atoms add up to leaves nothing but rounding


class PropertyPredictor(nn.Module):
    r"""Properties from the atoms and where they are.

    .. math:: y = a_0 + \sum_e a_e n_e + \sigma\, F(x, z)

    with n_e the atoms of element e, a by least squares, σ the deviation that this leaves, and F an
    ``InvariantNetwork``: polarizability and heat capacity are nearly sums over atoms, which need not be learnt.

    Args:
        names: of the properties, as ``Molecules`` call them.
        elements: atomic numbers that occur.
        options: of the network: ``width``, ``pair_width``, ``depth``, ``distance_features`` of ``InvariantNetwork``.

    Example:
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> molecules = Molecules.join([(water, torch.tensor([8, 1, 1]))] * 2)
        >>> PropertyPredictor(["gap", "mu"], width=8, pair_width=8, depth=1).predict(molecules).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        names: Sequence[str],
        elements: Sequence[int] = tuple(ELEMENTS),
        **options: int,
    ) -> None:
        super().__init__()
        self.names, self.elements = tuple(names), tuple(elements)
        self.network = InvariantNetwork(3, len(self.elements), len(self.names), **options)
        self.register_buffer("law", torch.zeros(1 + len(self.elements), len(self.names)))
        self.register_buffer("deviation", torch.ones(len(self.names)))

    def prepare(self, molecules: Molecules) -> None:
        """Find a and σ.

        Raises:
            DataError: the molecules lack a property, or hold another element.
        """
        MoleculeFormat(self.elements).check_elements(molecules.numbers)
        counts = torch.stack([property_values(molecules, s) for s in map(element_symbol, self.elements)], -1).double()
        terms, values = torch.cat([torch.ones_like(counts[:, :1]), counts], -1), values_of(molecules, self.names)
        # molecules without some element leave its share undecided, for which this driver has an answer
        law = torch.linalg.lstsq(terms, values, driver="gelsd").solution
        self.law.copy_(law)
        self.deviation.copy_((values - terms @ law).std(0).clamp_min(_LEAST))

    def forward(self, positions: Tensor, numbers: Tensor) -> Tensor:
        """``(*batch, c)`` properties, in their units, of molecules of one size: ``(*batch, n, 3)``, ``(*batch, n)``."""
        one_hot = (numbers.unsqueeze(-1) == torch.tensor(self.elements)).to(positions.dtype)
        linear = self.law[0] + one_hot.sum(-2) @ self.law[1:]
        return linear + self.deviation * self.network(positions, one_hot)

    @torch.no_grad()
    def predict(self, molecules: Molecules) -> Tensor:
        """``(M, c)`` float64, in the order of the molecules; NaN where a place is not finite.

        Raises:
            DataError: an element that the network does not know.
        """
        MoleculeFormat(self.elements).check_elements(molecules.numbers)
        found = torch.zeros(len(molecules), len(self.names), dtype=torch.float64)
        for n in molecules.sizes.unique().tolist():
            for part in zip(*(array.split(_CHUNK) for array in molecules.of_size(n)), strict=True):
                rows, positions, numbers = part
                found[rows] = self(positions.to(self.law.dtype), numbers).double()
        return found


def fit_predictor(
    predictor: PropertyPredictor,
    train: Molecules,
    config: TrainingConfig,
    observe: Callable[[int], None] = lambda step: None,
) -> None:
    """Train on the mean absolute error in units of σ; the predictor carries the averaged weights of the last step.

    Args:
        predictor: trained in place.
        train: molecules with their properties.
        config: of which steps, batch size, learning rate and its schedule, decays and the seed are used.
        observe: called with the number of every ``config.eval_every``-th step done.

    Raises:
        UsageError: no molecules.
        DataError: the molecules lack a property, or hold another element.
    """
    if not len(train):
        raise UsageError("no molecules to train on; give some with their properties")
    predictor.prepare(train)
    values = values_of(train, predictor.names).to(predictor.law)
    clouds = MoleculeFormat(predictor.elements).encode(train)
    trained = [parameter for parameter in predictor.parameters() if parameter.requires_grad]
    optimiser = Muon(trained, config.lr, config.betas, config.weight_decay)
    average, batches = MovingAverage(predictor, config.ema_decay), []
    for step in range(config.steps):
        batches = batches or clouds.batch_index(config.seed, step, config.batch_size)
        rows = batches.pop()
        loss = _loss(predictor, clouds.batch(rows).x, values[rows])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, config.grad_clip or math.inf)
        optimiser.step()
        average.update(step)
        if (step + 1) % config.eval_every == 0:
            with average.applied():
                observe(step + 1)
    predictor.load_state_dict(average.state_dict(), strict=False)  # without buffers, which have no average


def _loss(predictor: PropertyPredictor, x: Tensor, values: Tensor) -> Tensor:
    """Mean absolute error in units of σ on clouds ``(b, n, 3 + elements)``."""
    found = predictor(x[..., :3], torch.tensor(predictor.elements)[x[..., 3:].argmax(-1)])
    return ((found - values) / predictor.deviation).abs().mean()


def values_of(molecules: Molecules, names: Sequence[str]) -> Tensor:
    """``(M, c)`` float64 of the named properties."""
    return torch.stack([property_values(molecules, name).double() for name in names], -1)


def mean_absolute_errors(found: Tensor, asked: Tensor, names: Sequence[str]) -> dict[str, Estimate]:
    """Mean of |found − asked|, each ``(M, c)``, of every property, in its unit.

    >>> mean_absolute_errors(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [1.0]]), ["gap"])["gap"].value
    1.0
    """
    return {name: mean_estimate((found[:, j] - asked[:, j]).abs()) for j, name in enumerate(names)}


def medians_by_size(train: Molecules, names: Sequence[str], sizes: Tensor) -> Tensor:
    """``(len(sizes), c)``: median properties of the training molecules of each size, of all where none has it.

    No guess that knows the number of atoms alone has a smaller mean absolute error.

    >>> water = (torch.zeros(3, 3), torch.tensor([8, 1, 1]))
    >>> medians_by_size(Molecules.join([water, water]), ["H"], torch.tensor([3, 5])).tolist()
    [[2.0], [2.0]]
    """
    values = values_of(train, names)
    guess = values.median(0).values.repeat(len(sizes), 1)
    for n in sizes.unique().tolist():
        if bool((train.sizes == n).any()):
            guess[sizes == n] = values[train.sizes == n].median(0).values
    return guess
