"""Named sizes of the transformer: ``tiny`` for tests, ``small`` for a laptop, ``paper`` as published."""

from __future__ import annotations

from types import MappingProxyType

from arnold.errors import UserError, did_you_mean
from arnold.policy.transformer import TransformerConfig

PRESETS = MappingProxyType(
    {
        # Everything present, as small as attention can be: for tests and for trying a recipe.
        "tiny": TransformerConfig(width=16, heads=2, feedforward=32, layers=1, latents=4, muscle_self_attention=True),
        # Nine tasks in minutes on two CPU cores.
        "small": TransformerConfig(),
        # arXiv:2508.18066; its one global log standard deviation, and not its accidents (see ``shared_final_norm``).
        "paper": TransformerConfig(
            granularity="scalar",
            encoder="full",
            width=128,
            heads=4,
            feedforward=512,
            layers=6,
            decoder_layers=6,
            lags=6,
            word_gates=False,
            muscle_self_attention=True,
            detached_value=False,
            init_log_std=0.0,
            log_std_per_word=False,
        ),
    }
)


def preset(name: str) -> TransformerConfig:
    """The configuration called ``name``.

    Raises:
        UserError: there is none; the nearest names are given.
    """
    if name not in PRESETS:
        raise UserError(f"no policy preset is called {name!r}: {did_you_mean(name, PRESETS)}")
    return PRESETS[name]
