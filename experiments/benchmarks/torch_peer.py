"""The equal model of PyTorch's own layers that the policy's speed is measured against.

Word sums are computed once per call and expanded over the batch, as ours are; encoder and decoders are
``nn.TransformerEncoder`` and ``nn.TransformerDecoder`` as they come, pre-LN and without dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from arnold.errors import UserError
from arnold.policy.transformer import VALUE_ID, TransformerConfig
from arnold.vocab import TokenTable, Vocabulary


def torch_calls(
    config: TransformerConfig,
    tables: tuple[TokenTable, TokenTable],
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    learning_rate: float,
    threads: int,
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The forward pass (without gradients) and the training step of the PyTorch model, each as a call.

    Args:
        config: dimensions.
        tables: observation and action tokens.
        arrays: values (B, K, H), target actions (B, M) and target values (B,), float32.
        learning_rate: of Adam.
        threads: CPU threads that PyTorch may use.

    Raises:
        UserError: PyTorch is not installed.
    """
    torch = _torch()
    torch.set_num_threads(threads)
    model = _model(torch, config, tables)
    values, actions, returns = (torch.from_numpy(array) for array in arrays)
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)

    def forward() -> None:
        with torch.no_grad():
            model(values)

    def step() -> None:
        mean, value = model(values)
        loss = (mean - actions).square().mean() + (value - returns).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return forward, step


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            "the policy benchmark needs PyTorch, which is not installed: install the extra 'torch'"
        ) from error
    return torch


def _model(torch: Any, config: TransformerConfig, tables: tuple[TokenTable, TokenTable]) -> Any:
    """A module that maps values (B, K, H) to mean actions (B, M) and values (B,)."""
    nn: Any = torch.nn
    vocabulary = Vocabulary.of(tables)
    observation_words, action_words = (torch.from_numpy(table.word_ids(vocabulary)).long() for table in tables)
    sizes: dict[str, Any] = {
        "d_model": config.width,
        "nhead": config.heads,
        "dim_feedforward": config.feedforward,
        "dropout": 0.0,
        "batch_first": True,
        "norm_first": True,
    }

    class Peer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokeniser = nn.Linear(config.lags, config.width)
            self.embeddings = nn.Embedding(len(vocabulary), config.width, padding_idx=0)
            layer = nn.TransformerEncoderLayer(**sizes)
            self.encoder = nn.TransformerEncoder(
                layer, config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
            )
            self.action_decoder, self.value_decoder = self._decoder(), self._decoder()
            self.action_head, self.value_head = nn.Linear(config.width, 1), nn.Linear(config.width, 1)

        def _decoder(self) -> Any:
            layer = nn.TransformerDecoderLayer(**sizes)
            return nn.TransformerDecoder(layer, config.decoder_layers, nn.LayerNorm(config.width))

        def forward(self, values: Any) -> tuple[Any, Any]:
            batch = values.shape[0]
            memory = self.encoder(self.tokeniser(values) + self.embeddings(observation_words).sum(1))
            muscles = self.embeddings(action_words).sum(1).expand(batch, -1, -1)
            value = self.embeddings.weight[VALUE_ID].expand(batch, 1, -1)
            mean = self.action_head(self.action_decoder(muscles, memory))[..., 0]
            return mean, self.value_head(self.value_decoder(value, memory))[:, 0, 0]

    return Peer()
