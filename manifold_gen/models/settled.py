r"""A generator of one evaluation that learns where a teacher of many evaluations settles the clouds it makes.

The generator is K networks one after the other, each an ``EndpointFlow`` that stands for one step of a sampler without
noise: :math:`G(z) = \hat x_1^{(K)}`, where network k guesses the clean cloud from
:math:`x_{k+1} = t_{k+1} \hat x_1^{(k)} + (1 - t_{k+1}) \hat z^{(k)}`. A pass draws nothing but z, and pairs nothing. To
settle a cloud, the teacher repeats

.. math:: y \leftarrow \hat x_1\big(t\, y + (1 - t)\, \epsilon,\; t\big), \qquad t \text{ rising from } s \text{ to } 1,

each ε new and paired with y. Training moves G(z), and with less weight every guess on the way there, to settled G(z):
the target begins at what the generator makes already, so that it is close and depends on z, where the end of the
teacher's own path from z is neither. What the teacher finds likely stays where it is; the rest moves.

The idea that a generator learns from a diffusion model's view of the generator's own noised samples: Poole and others,
*DreamFusion* (2023); Yin and others, *One-step diffusion with distribution matching distillation* (2024). Like the
former and unlike the latter it seeks modes: rare elements become rarer, which ``balance`` works against.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.chunks import CHUNK, in_chunks
from manifold_gen.models.endpoint_flow import EndpointFlow
from manifold_gen.models.noise_schedule import time_pairs
from manifold_gen.models.resizing import resized
from manifold_gen.models.sized import SizedModel

# A miss of the positions below this, in their unit, costs its square, a larger one its length: settled clouds differ
# from draw to draw, and what has been moved far says least.
_NEAR = 0.1
_POSITIONS = 5.0  # weight of positions beside the cross-entropy of features
_LARGEST_WEIGHT = 5.0  # of a kind that the generator makes too seldom, and one over it of one made too often


class SettledFlow(GenerativeModel):
    """A generator of clouds in one pass; it has no density.

    It learns from a teacher, given by ``settle``. The teacher is no part of the model: a saved one holds its own
    networks alone.

    Args:
        manifold: where the clouds live; features, where there are any, are one-hot.
        stages: K.
        earliest, latest: s is uniform between them.
        rounds: evaluations of the teacher for a target.
        damping: of the gradient from each network to the one before it; undamped it grows from one to the next.
        early: weight of what the networks before the last one guess, beside the last one's 1.
        balance: exponent of the weights that bring kinds of points to the shares of the training batch; 0 for none.
        seed: of the initial weights, which ``settle`` replaces by the teacher's.
        options: of the networks, as in ``EndpointFlow``.

    Raises:
        UsageError: numbers out of range, features that are continuous, or as ``EndpointFlow``.

    Example:
        >>> flow = SettledFlow(PointCloud(4, 2), stages=2, width=8, pair_width=8, depth=1)
        >>> flow.sample(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 4, 2])
    """

    options_of = EndpointFlow

    def __init__(
        self,
        manifold: PointCloud,
        *,
        stages: int = 4,
        earliest: float = 0.78,
        latest: float = 0.96,
        rounds: int = 1,
        damping: float = 0.3,
        early: float = 0.3,
        balance: float = 1.0,
        seed: int = 0,
        **options: object,
    ) -> None:
        _check(stages, rounds, earliest, latest, {"damping": damping, "early": early, "balance": balance}, options)
        super().__init__(manifold)
        self.hyperparameters = {
            "stages": stages, "earliest": earliest, "latest": latest, "rounds": rounds, "damping": damping,
            "early": early, "balance": balance, "seed": seed, **options,
        }  # fmt: skip
        self.flows = nn.ModuleList(EndpointFlow(manifold, seed=seed + k, **options) for k in range(stages))
        self.base = self.flows[0].base
        self.teacher: tuple[EndpointFlow, ...] = ()  # in a tuple, for it is no part of this model

    def prepare(self, train: object) -> None:
        """Takes the scales of the data, unless a teacher has brought its own."""
        if not self.teacher:
            for flow in self.flows:
                flow.prepare(train)

    # ---- generator ----------------------------------------------------------------------------------------------

    def guesses(self, z: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """The clean cloud ``(b, n, p + k)`` as each network guesses it; the last is what is made of latents ``z``."""
        x, found, damping = z, [], self.hyperparameters["damping"]
        for flow, t, after in zip(self.flows, *time_pairs(len(self.flows)), strict=True):
            found.append(flow.endpoint(x, x.new_full((len(x),), t), flow.context(context)))
            if after < 1:
                x = torch.lerp((x - t * found[-1]) / (1 - t), found[-1], after)
                x = torch.lerp(x.detach(), x, damping)
        return found

    @torch.no_grad()
    def sample(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None, chunk: int = CHUNK
    ) -> Tensor:
        """Draw ``(n, *shape)`` clouds."""
        if n < 0:
            raise UsageError(f"cannot draw n = {n} clouds; n must be 0 or more")
        z = self.base.sample(n, generator=generator)
        return in_chunks(lambda rows, here: self.guesses(rows, here)[-1], z, context, chunk)

    # ---- training -----------------------------------------------------------------------------------------------

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents, the noise of every round, and where rounds start."""
        rounds = self.hyperparameters["rounds"]
        latent = self.base.sample(n, generator=generator)
        fresh = self.base.sample(n * rounds, generator=generator).unflatten(0, (n, rounds))
        start = torch.rand(n, generator=generator, dtype=latent.dtype, device=latent.device)
        return {"latent": latent, "fresh": fresh, "start": start}

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``positions`` and ``features``: how far made clouds are from settled ones.

        Of ``x`` it takes how many clouds to make, of which size, and the shares of the kinds of their points.

        Raises:
            UsageError: no teacher was given.
        """
        if not self.teacher:
            raise UsageError("a settled flow learns from a teacher; give it one by models.settled.settle")
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        *earlier, made = self.guesses(drawn["latent"], context)
        goal = self.settled(made.detach(), drawn["fresh"], drawn["start"], context)
        if self.manifold.feature_dim:
            p = self.manifold.position_dim
            goal = torch.cat([goal[..., :p], self._balanced(goal[..., p:], made[..., p:], x[..., p:])], -1)
        terms = self._misses(made, goal)
        for guess in earlier if self.hyperparameters["early"] else ():
            for name, miss in self._misses(guess, goal).items():
                terms[name] = terms[name] + self.hyperparameters["early"] * miss
        return terms

    def _misses(self, guess: Tensor, goal: Tensor) -> dict[str, Tensor]:
        """How far a guess is from ``goal``, whose features are probabilities; each ``(b,)``."""
        p = self.manifold.position_dim
        miss = (guess - goal)[..., :p].square().sum(-1)
        terms = {"positions": _POSITIONS * ((miss + _NEAR**2).sqrt() - _NEAR).mean(-1)}
        if self.manifold.feature_dim:
            likely = (guess[..., p:] / self.flows[-1].feature_scale).clamp_min(1e-5).log()
            terms["features"] = -(goal[..., p:] * likely).sum(-1).mean(-1)
        return terms

    @torch.no_grad()
    def settled(self, x: Tensor, fresh: Tensor, start: Tensor, context: Tensor | None = None) -> Tensor:
        """Where the teacher settles the clouds ``x`` ``(b, n, p + k)``.

        Args:
            x: clouds.
            fresh: noise ``(b, rounds, n, p + k)``.
            start: uniform numbers ``(b,)`` that say at which time the rounds start.
            context: what the clouds are conditioned on.
        """
        (teacher,), told = self.teacher, self.hyperparameters
        left = 1 - torch.lerp(*x.new_tensor([told["earliest"], told["latest"]]), start)
        embedded = teacher.context(context)
        for noise, u in zip(fresh.unbind(1), time_pairs(fresh.shape[1])[0], strict=True):
            t = 1 - left * (1 - u)
            x = teacher.endpoint(torch.lerp(teacher.coupled(noise, x), x, t.reshape(-1, 1, 1)), t, embedded)
        return x

    @torch.no_grad()
    def _balanced(self, goal: Tensor, made: Tensor, real: Tensor) -> Tensor:
        """Probabilities of the kinds in ``goal``, weighted by how much commoner they are in ``real`` than ``made``."""
        wanted, present = (_counts(kinds) + 1 for kinds in (real, made))  # one more, so that no share is zero
        weight = (wanted / present).clamp(1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT) ** self.hyperparameters["balance"]
        weighted = goal * weight
        return weighted / weighted.sum(-1, keepdim=True)

    def on_size(self, manifold: PointCloud) -> SettledFlow:
        """The same networks on clouds of another size, with the same teacher; weights are shared, not copied."""
        other = resized(self, manifold)
        other.flows = nn.ModuleList(flow.on_size(manifold) for flow in self.flows)
        other.teacher = tuple(teacher.on_size(manifold) for teacher in self.teacher)
        return other


def settle(teacher: SizedModel, student: SizedModel, begin: SizedModel | None = None) -> None:
    """Let ``student`` learn from ``teacher``, each of its networks starting from the weights of ``begin``.

    Args:
        teacher: a family of ``EndpointFlow``; it is frozen.
        student: a family of ``SettledFlow``.
        begin: a family of ``EndpointFlow`` with networks of the student's size; default: the teacher.

    Raises:
        UsageError: one of them is another model, or the networks of ``begin`` have another size.
    """
    begin = teacher if begin is None else begin
    for given, expected in ((teacher, EndpointFlow), (begin, EndpointFlow), (student, SettledFlow)):
        if not isinstance(given.member, expected):
            raise UsageError(f"a family of {type(given.member).__name__} was given, expected {expected.__name__}")
    weights = begin.member.state_dict()
    for flow in student.member.flows:
        if {k: v.shape for k, v in flow.state_dict().items()} != {k: v.shape for k, v in weights.items()}:
            raise UsageError("the student's networks differ from those it begins with; make it with their settings")
        flow.load_state_dict(weights)
    student.member.teacher = (teacher.member.eval().requires_grad_(False),)


def _counts(kinds: Tensor) -> Tensor:
    """How many points of the batch are of each kind, ``(k,)``."""
    return torch.bincount(kinds.argmax(-1).flatten(), minlength=kinds.shape[-1])


def _check(
    stages: int, rounds: int, earliest: float, latest: float, shares: Mapping[str, float], options: Mapping[str, object]
) -> None:
    for name, given in (("stages", stages), ("rounds", rounds)):
        if given < 1:
            raise UsageError(f"{name} is {given}, expected at least 1")
    if not 0 < earliest <= latest < 1:
        raise UsageError(f"settling starts from {earliest} to {latest}, expected 0 < earliest ≤ latest < 1")
    for name, given in shares.items():
        if not 0 <= given <= 1:
            raise UsageError(f"{name} is {given}, expected a number between 0 and 1")
    if options.get("features", "one-hot") != "one-hot":
        raise UsageError(f"features are {options['features']!r}; a settled flow makes one-hot features alone")
