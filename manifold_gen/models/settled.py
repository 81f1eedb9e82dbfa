r"""A generator of one evaluation that learns where a teacher of many evaluations settles the clouds it makes.

The generator is K networks one after the other, each an ``EndpointFlow``: :math:`G(z) = \hat x_1^{(K)}`, where network
k + 1 guesses the clean cloud from :math:`x_{k+1} = t_{k+1} \hat x_1^{(k)} + (1 - t_{k+1}) z`, on the straight line
between the latent and the guess before. A pass draws nothing but z, and pairs nothing. (A sampler that follows the ODE
has what is left of the guess, :math:`(x_k - t_k \hat x_1^{(k)}) / (1 - t_k)`, in the place of z, where the errors of
all guesses add up.) Training moves G(z), and with less weight every guess on the way there, to where the teacher
settles G(z), see ``settling``: the target begins at what the generator makes already, so that it is close and depends
on z, where the end of the teacher's own path from z is neither. What the teacher finds likely stays where it is; the
rest moves.

The idea that a generator learns from a diffusion model's view of the generator's own noised samples: Poole and others,
*DreamFusion* (2023); Yin and others, *One-step diffusion with distribution matching distillation* (2024). Like the
former and unlike the latter it seeks modes: what is rare becomes rarer. Against that work ``balance``, for kinds of
points, ``anchor``, by which all networks go on to learn real clouds as a flow does, and a judge that remembers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.chunks import CHUNK, in_chunks
from manifold_gen.models.endpoint_flow import EndpointFlow
from manifold_gen.models.noise_schedule import time_pairs
from manifold_gen.models.renewal import check_temperature
from manifold_gen.models.resizing import resized
from manifold_gen.models.settling import Judge, Teacher, balanced
from manifold_gen.models.sized import SizedModel

# A miss of the positions below this, in their unit, costs its square, a larger one its length: settled clouds differ
# from draw to draw, and what has been moved far says least.
_NEAR = 0.1
_POSITIONS = 5.0  # weight of positions beside the cross-entropy of features
_SAME_TIME = 1e-9  # times that are nearer to each other are one


class SettledFlow(GenerativeModel):
    """A generator of clouds in one pass; it has no density.

    It learns from a teacher, given by ``settle``. The teacher is no part of the model: a saved one holds its own
    networks alone.

    Args:
        manifold: where the clouds live; features, where there are any, are one-hot.
        stages: K.
        earliest, latest: s is uniform between them.
        rounds: evaluations of the teacher for a target.
        mend_earliest, mend_latest, mend_rounds: the same of clouds that a judge finds wrong.
        damping: of the gradient from each network to the one before it; undamped it grows from one to the next.
        early: weight of what the networks before the last one guess, beside the last one's 1.
        anchor: weight of what the networks guess of real clouds with noise on them, beside the last one's 1.
        balance: exponent of the weights that bring kinds of points to the shares of the training batch; 0 for none.
        temperature: of the latents when it draws, standard deviation beside that of training; a lower one trades
            variety for likely clouds.
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
        stages: int = 8,
        earliest: float = 0.86,
        latest: float = 0.96,
        rounds: int = 2,
        mend_earliest: float = 0.6,
        mend_latest: float = 0.7,
        mend_rounds: int = 12,
        damping: float = 0.3,
        early: float = 0.3,
        anchor: float = 1.0,
        balance: float = 1.0,
        temperature: float = 1.0,
        seed: int = 0,
        **options: object,
    ) -> None:
        told = {
            "stages": stages, "earliest": earliest, "latest": latest, "rounds": rounds,
            "mend_earliest": mend_earliest, "mend_latest": mend_latest, "mend_rounds": mend_rounds,
            "damping": damping, "early": early, "anchor": anchor, "balance": balance,
            "temperature": temperature,
        }  # fmt: skip
        _check(told, options)
        super().__init__(manifold)
        self.hyperparameters = {**told, "seed": seed, **options}
        self.flows = nn.ModuleList(EndpointFlow(manifold, seed=seed + k, **options) for k in range(stages))
        self.base = self.flows[0].base
        self.teacher: Teacher | None = None

    def prepare(self, train: object) -> None:
        """Takes the scales of the data, unless a teacher has brought its own."""
        if self.teacher is None:
            for flow in self.flows:
                flow.prepare(train)

    # ---- generator ----------------------------------------------------------------------------------------------

    def networks(self, stages: int) -> list[EndpointFlow]:
        """Of each of ``stages`` times the network for it: the first one that stands for that time or a later one."""
        known = time_pairs(len(self.flows))[0]
        at = [bisect_left(known, t - _SAME_TIME) for t in time_pairs(stages)[0]]
        return [self.flows[min(k, len(known) - 1)] for k in at]

    def guesses(self, z: Tensor, context: Tensor | None = None, steps: int = 1) -> list[Tensor]:
        """The clean cloud ``(b, n, p + k)`` as each network guesses it; the last is what is made of latents ``z``.

        Args:
            z: latents ``(b, n, p + k)``.
            context: what the clouds are conditioned on.
            steps: passes; each network stands for so many times in a row, which are as many times closer.
        """
        x, found, damping = z, [], self.hyperparameters["damping"]
        stages = steps * len(self.flows)
        for flow, t, after in zip(self.networks(stages), *time_pairs(stages), strict=True):
            found.append(flow.endpoint(x, x.new_full((len(x),), t), flow.context(context)))
            if after < 1:
                x = torch.lerp(z, found[-1], after)
                x = torch.lerp(x.detach(), x, damping)
        return found

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        chunk: int = CHUNK,
        steps: int = 1,
        temperature: float | None = None,
    ) -> Tensor:
        """Draw ``(n, *shape)`` clouds in ``steps`` passes; the flow is trained for one, more are finer.

        Latents have ``temperature`` times their standard deviation; default: as the model was told.
        """
        if n < 0:
            raise UsageError(f"cannot draw n = {n} clouds; n must be 0 or more")
        if steps < 1:
            raise UsageError(f"steps is {steps}, expected at least 1")
        temperature = self.hyperparameters["temperature"] if temperature is None else temperature
        check_temperature(temperature)
        z = temperature * self.base.sample(n, generator=generator)
        return in_chunks(lambda rows, here: self.guesses(rows, here, steps)[-1], z, context, chunk)

    # ---- training -----------------------------------------------------------------------------------------------

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents, the noise of every round, and where rounds start."""
        rounds = self.hyperparameters["mend_rounds"]
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
        if self.teacher is None:
            raise UsageError("a settled flow learns from a teacher; give it one by models.settled.settle")
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        *earlier, made = self.guesses(drawn["latent"], context)
        goal = self._goal(self.teacher, made.detach(), drawn, context)
        if self.manifold.feature_dim:
            p = self.manifold.position_dim
            kinds = balanced(goal[..., p:], made[..., p:], x[..., p:], self.hyperparameters["balance"])
            goal = torch.cat([goal[..., :p], kinds], -1)
        terms = self._misses(made, goal)
        for guess in earlier if self.hyperparameters["early"] else ():
            for name, miss in self._misses(guess, goal).items():
                terms[name] = terms[name] + self.hyperparameters["early"] * miss
        if self.hyperparameters["anchor"]:
            real = self._of_real(self.teacher, x, drawn["latent"], context)
            for name, miss in self._misses(real, x).items():
                terms[name] = terms[name] + self.hyperparameters["anchor"] * miss
        return terms

    def _of_real(self, teacher: Teacher, x: Tensor, z: Tensor, context: Tensor | None) -> Tensor:
        """What the networks guess of ``x`` with noise on it: each of some of the rows."""
        z, found = teacher.flow.coupled(z, x), []
        share = -(-len(x) // len(self.flows))
        for k, (flow, t) in enumerate(zip(self.flows, time_pairs(len(self.flows))[0], strict=True)):
            rows = slice(k * share, (k + 1) * share)
            x_t = torch.lerp(z[rows], x[rows], t)
            embedded = flow.context(None if context is None else context[rows])
            found.append(flow.endpoint(x_t, x.new_full((len(x_t),), t), embedded))
        return torch.cat(found)

    def _misses(self, guess: Tensor, goal: Tensor) -> dict[str, Tensor]:
        """How far a guess is from ``goal``, whose features are probabilities; each ``(b,)``."""
        p = self.manifold.position_dim
        miss = (guess - goal)[..., :p].square().sum(-1)
        terms = {"positions": _POSITIONS * ((miss + _NEAR**2).sqrt() - _NEAR).mean(-1)}
        if self.manifold.feature_dim:
            likely = (guess[..., p:] / self.flows[-1].feature_scale).clamp_min(1e-5).log()
            terms["features"] = -(goal[..., p:] * likely).sum(-1).mean(-1)
        return terms

    def _goal(self, teacher: Teacher, made: Tensor, drawn: Mapping[str, Tensor], context: Tensor | None) -> Tensor:
        """Where the teacher settles the clouds that were made."""
        told = self.hyperparameters
        late, early = (
            told[f"{of}earliest"] + (told[f"{of}latest"] - told[f"{of}earliest"]) * drawn["start"]
            for of in ("", "mend_")
        )
        return teacher.goals(made, drawn["fresh"], told["rounds"], late, early, context)

    def on_size(self, manifold: PointCloud) -> SettledFlow:
        """The same networks on clouds of another size, with the same teacher; weights are shared, not copied."""
        other = resized(self, manifold)
        other.flows = nn.ModuleList(flow.on_size(manifold) for flow in self.flows)
        other.teacher = None if self.teacher is None else self.teacher.at(manifold)
        return other


def settle(
    teacher: SizedModel,
    student: SizedModel,
    begin: SizedModel | None = None,
    *,
    judge: Judge | None = None,
    precision: str = "float32",
) -> None:
    """Let ``student`` learn from ``teacher``, each of its networks starting from the weights of ``begin``.

    A settled flow may begin with another of fewer stages: every network takes the weights of the first one that stood
    for its time or a later one.

    Args:
        teacher: a family of ``EndpointFlow``; it is frozen.
        student: a family of ``SettledFlow``.
        begin: a family of ``EndpointFlow`` or ``SettledFlow`` with networks of the student's size; default: the
            teacher.
        judge: says which clouds ``(b, n, p + k)`` of one size are right, ``(b,)``.
        precision: of the teacher's guesses, ``"float32"`` or ``"bf16"``.

    Raises:
        UsageError: one of them is another model, the networks of ``begin`` have another size, an unknown precision.
    """
    begin = teacher if begin is None else begin
    for given, *kinds in ((teacher, EndpointFlow), (begin, EndpointFlow, SettledFlow), (student, SettledFlow)):
        if not isinstance(given.member, tuple(kinds)):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise UsageError(f"a family of {type(given.member).__name__} was given, expected {names}")
    stages = len(student.member.flows)
    first = begin.member.networks(stages) if isinstance(begin.member, SettledFlow) else [begin.member] * stages
    for flow, begun in zip(student.member.flows, first, strict=True):
        weights = begun.state_dict()
        if {k: v.shape for k, v in flow.state_dict().items()} != {k: v.shape for k, v in weights.items()}:
            raise UsageError("the student's networks differ from those it begins with; make it with their settings")
        flow.load_state_dict(weights)
    student.member.teacher = Teacher(teacher.member.eval().requires_grad_(False), judge, precision)


def _check(told: Mapping[str, float], options: Mapping[str, object]) -> None:
    for name in ("stages", "rounds", "mend_rounds"):
        if told[name] < 1:
            raise UsageError(f"{name} is {told[name]}, expected at least 1")
    if told["rounds"] > told["mend_rounds"]:
        raise UsageError(f"rounds is {told['rounds']}, expected at most mend_rounds, {told['mend_rounds']}")
    for of in ("", "mend_"):
        if not 0 < told[f"{of}earliest"] <= told[f"{of}latest"] < 1:
            raise UsageError(
                f"settling starts from {of}earliest = {told[f'{of}earliest']} to {of}latest = {told[f'{of}latest']}, "
                "expected 0 < earliest ≤ latest < 1"
            )
    check_temperature(told["temperature"])
    for name in ("damping", "early", "anchor", "balance"):
        if not 0 <= told[name] <= 1:
            raise UsageError(f"{name} is {told[name]}, expected a number between 0 and 1")
    if options.get("features", "one-hot") != "one-hot":
        raise UsageError(f"features are {options['features']!r}; a settled flow makes one-hot features alone")
