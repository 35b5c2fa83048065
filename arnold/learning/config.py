"""What one update optimises and how: loss weights, regimes and the learner's settings."""

from __future__ import annotations

import dataclasses

from arnold.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """loss = imitation * L_im + policy_gradient * L_clip + value * L_v - entropy * H."""

    imitation: float = 0.0
    """Mean squared distance from the student's mean action to the expert's, averaged over muscles and rows."""

    policy_gradient: float = 0.0
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7)."""

    value: float = 0.5
    """Mean squared error of the value, in units of the normalised return."""

    entropy: float = 0.0
    """Entropy of the Gaussian, summed over a body's own muscles, averaged over rows."""


@dataclasses.dataclass(frozen=True)
class Regime:
    """A named preset of the one update."""

    name: str
    weights: LossWeights
    driver: str
    """Who moves the body during the rollout: "student" (its sampled action) or "expert"."""

    summary: str = ""

    @property
    def needs_expert(self) -> bool:
        """Whether expert labels are read."""
        return self.weights.imitation > 0.0 or self.driver == "expert"


_REGIMES = (
    Regime("bc", LossWeights(imitation=1.0), "expert", "the expert drives and labels"),
    Regime("obc", LossWeights(imitation=1.0), "student", "the student drives, the expert labels"),
    Regime(
        "obc_ppo",
        LossWeights(imitation=1.0, policy_gradient=1.0, entropy=1e-6),
        "student",
        "on-policy behavioural cloning and PPO in one loss",
    ),
    Regime("ppo", LossWeights(policy_gradient=1.0, entropy=1e-6), "student", "reward alone"),
)
REGIMES: dict[str, Regime] = {regime.name: regime for regime in _REGIMES}


def regime(name: str) -> Regime:
    """The regime called ``name``.

    Raises:
        UserError: for an unknown name, with the nearest match.
    """
    if name not in REGIMES:
        raise UserError(f"unknown regime {name!r}; {did_you_mean(name, REGIMES)}")
    return REGIMES[name]


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
    """Settings of the learner, by default for specialists; the reference's are in `PAPER_FAITHFUL`."""

    regime: str = "ppo"
    """One of "bc", "obc", "obc_ppo", "ppo"."""

    rollout_steps: int = 50
    """Control steps T per environment and iteration; at most the shortest horizon of the mixture."""

    epochs: int = 4
    """Passes over each rollout."""

    minibatches: int = 10
    """Updates per pass; rows are split evenly."""

    learning_rate: float = 3e-4
    """Adam's step at the start."""

    final_learning_rate: float = 1e-5
    """Adam's step at the end; a cosine leads there."""

    target_kl: float = 0.0
    """Where it is not 0, the step adapts: it shrinks by a fifth after an iteration whose policy moved by more than
    twice this (mean KL divergence from the one that acted, nats), and grows by a fourth after one that moved by less
    than half of it, between a thirtieth of the schedule's step and three times it. The same step is too long for a
    policy with little noise and too short for one with much."""

    gradient_clip: float = 0.7
    """Largest global norm of a gradient."""

    discount: float = 0.99
    gae_lambda: float = 0.9
    clip: float = 0.2
    """PPO's ratio clip."""

    log_std: tuple[float, ...] = ()
    """(start, end): the log standard deviation follows this straight line over the run and is not learned. Empty: it is
    learned. Actions are clipped and go through a convex map, so a policy that keeps a wide Gaussian comes to rely on
    the noise and its mean action is worse than its samples; the line to a small end makes the mean the policy."""

    noise_correlation: float = 0.0
    """Of a muscle's exploration noise from one control step to the next, in [0, 1). White noise at 100 Hz is mostly
    lost in the muscles, which are slow; correlated noise moves the body. PPO's loss stays as it is (Hollenstein et al.
    2024, arXiv 2312.11091)."""

    muscle_correlation: float = 0.0
    """Of exploration noise between muscles that pull the body the same way, in [0, 1): this share of each muscle's
    variance is noise of the joints, which it has in common with the others that turn them. Independent noise of many
    muscles cancels out at the joints (Chiappa et al. 2023, arXiv 2305.20065, whose directions are learned; here they
    are the body's moment arms at rest)."""

    entropy: float = -1.0
    """Overrides the regime's entropy weight where it is 0 or more."""

    value: float = -1.0
    """Overrides the regime's value weight where it is 0 or more."""

    normalise_reward: bool = True
    """Divide rewards by the running standard deviation of the discounted return, per task."""

    max_skipped: int = 5
    """Stop after this many non-finite updates in a row."""

    def __post_init__(self) -> None:
        regime(self.regime)
        if len(self.log_std) not in (0, 2):
            raise UserError(f"LearnerConfig.log_std is {self.log_std!r}; give (start, end), or nothing to learn it")
        for field in ("rollout_steps", "epochs", "minibatches", "max_skipped"):
            if getattr(self, field) < 1:
                raise UserError(f"LearnerConfig.{field} is {getattr(self, field)!r}; at least 1 is accepted")
        for field in ("learning_rate", "final_learning_rate", "gradient_clip", "clip"):
            if not getattr(self, field) > 0.0:
                raise UserError(f"LearnerConfig.{field} is {getattr(self, field)!r}; a number above 0 is accepted")
        if not 0.0 <= self.noise_correlation < 1.0:
            raise UserError(
                f"LearnerConfig.noise_correlation is {self.noise_correlation!r}; a number from 0 to below 1 is accepted"
            )
        if not 0.0 <= self.muscle_correlation < 1.0:
            raise UserError(
                f"LearnerConfig.muscle_correlation is {self.muscle_correlation!r}; "
                "a number from 0 to below 1 is accepted"
            )
        for field in ("discount", "gae_lambda"):
            if not 0.0 <= getattr(self, field) <= 1.0:
                raise UserError(f"LearnerConfig.{field} is {getattr(self, field)!r}; a number from 0 to 1 is accepted")

    @property
    def weights(self) -> LossWeights:
        """The regime's loss weights with this configuration's overrides."""
        weights = regime(self.regime).weights
        if self.entropy >= 0.0:
            weights = dataclasses.replace(weights, entropy=self.entropy)
        if self.value >= 0.0:
            weights = dataclasses.replace(weights, value=self.value)
        return weights


PAPER_FAITHFUL = LearnerConfig(regime="obc", learning_rate=1e-3, epochs=3, clip=0.3, gae_lambda=0.9, gradient_clip=0.7)
"""The constants of the reference's code (lambda 0.9, clip 0.3, gradient norm 0.7; its documentation says otherwise)."""
