"""Words, the lexicon that turns MuJoCo names into words, and tokens. Needs neither JAX nor MuJoCo."""

from arnold.vocab import quantities
from arnold.vocab.categories import category
from arnold.vocab.lexicon import NameParts, Side, body_words, describe, joint_words, muscle_words, site_words
from arnold.vocab.tokens import (
    EntityGroup,
    Token,
    TokenTable,
    action_token,
    joint_token,
    muscle_token,
    site_token,
)
from arnold.vocab.vocabulary import PAD, VALUE, Vocabulary

__all__ = [
    "PAD",
    "VALUE",
    "EntityGroup",
    "NameParts",
    "Side",
    "Token",
    "TokenTable",
    "Vocabulary",
    "action_token",
    "body_words",
    "category",
    "describe",
    "joint_token",
    "joint_words",
    "muscle_token",
    "muscle_words",
    "quantities",
    "site_token",
    "site_words",
]
