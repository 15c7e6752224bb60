"""Every variant as a classifier of padded sequences: the objective, and outputs of another width.

The variants' own promises about padding are in `switchhead_lab/contract/`.
"""

import re
from collections import Counter

import pytest
import torch
from variant_cases import CASES, config_of, digest_of, digests_elsewhere

from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.transformer import build_model
from switchhead_lab.objectives.base import Task
from switchhead_lab.objectives.classification import SequenceClassification
from switchhead_lab.training.scoring import Score
from switchhead_lab.training.sequence_class import SequenceClass

V, N_CLASSES, T, B = 19, 5, 9, 3
LENGTHS = (9, 4, 6)
TASK = Task("listops", V, N_CLASSES, T, "bidirectional", T, 1)


def classifier_config(case: str, *, p_dropout: float = 0.0) -> ModelConfig:
    return config_of(case, p_dropout=p_dropout, context_multiple=1, direction="bidirectional")


def sequences(seed: int = 0, lengths: tuple[int, ...] = LENGTHS, width: int = T) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = torch.randint(1, V, (length,), generator=generator)
    return rows


def score(model, inputs: torch.Tensor, pooling: str = "mean") -> Score:
    config = SequenceClassification(kind="classification", pooling=pooling)
    objective = SequenceClass(config, TASK)
    targets = torch.arange(len(inputs)) % N_CLASSES
    return objective.score(model, inputs, targets, ())


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


def build(case: str, seed: int = 0, **options: float):
    return build_model(classifier_config(case, **options), V, seed, N_CLASSES)


def test_shape_and_no_memory(case: str) -> None:
    inputs = sequences()
    output = build(case)(inputs, (), inputs != 0)
    assert output.logits_BTV.shape == (B, T, N_CLASSES)
    assert output.memory == ()


def test_padding_does_not_change_a_sequence(case: str) -> None:
    model = build(case).double()
    short = sequences(lengths=(6,), width=6)
    alone = score(model, short).loss_nats_sum
    torch.testing.assert_close(score(model, sequences(lengths=(6,))).loss_nats_sum, alone)
    without_mask = model(short).logits_BTV.mean(dim=1).log_softmax(-1)[0, 0]
    torch.testing.assert_close(-without_mask, alone, check_dtype=False)


def test_auxiliary_losses_and_choices_ignore_padding(case: str) -> None:
    model = build(case).double()
    short, padded = sequences(lengths=(6,), width=6), sequences(lengths=(6,))
    alone, with_padding = score(model, short), score(model, padded)
    if alone.auxiliary_loss is not None:
        torch.testing.assert_close(with_padding.auxiliary_loss, alone.auxiliary_loss)
    for name, choice in alone.choices.items():
        assert torch.equal(with_padding.choices[name].index_NHK, choice.index_NHK), name


def test_gradient_reaches_every_parameter(case: str) -> None:
    model = build(case)
    done = score(model, sequences())
    loss = done.loss_nats_sum
    (loss if done.auxiliary_loss is None else loss + done.auxiliary_loss).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_parameters_equal_the_closed_form(case: str) -> None:
    parts: Counter[str] = Counter()
    for name, parameter in build(case).named_parameters():
        parts[re.sub(r"^blocks\.\d+\.", "blocks.", name)] += parameter.numel()
    assert dict(count_parameters(classifier_config(case), V, N_CLASSES).parts) == dict(parts)


def test_bf16_is_near_fp32(case: str) -> None:
    """One layer: with more, a rounded hidden state may flip a near-tie of a router."""
    config = classifier_config(case).model_copy(update={"n_layers": 1})
    model = build_model(config, V, 0, N_CLASSES)
    exact = score(model, sequences()).loss_nats_sum
    with torch.autocast("cpu", torch.bfloat16):
        rounded = score(model, sequences()).loss_nats_sum
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.0)


def test_pooling_and_counting_by_hand() -> None:
    model = build(CASES[0])
    inputs = sequences()
    logits = model(inputs, (), inputs != 0).logits_BTV
    pooled = {
        "mean": torch.stack([row[:n].mean(dim=0) for row, n in zip(logits, LENGTHS, strict=True)]),
        "first": logits[:, 0],
    }
    for pooling, expected in pooled.items():
        done = score(model, inputs, pooling)
        by_hand = -expected.log_softmax(-1)[range(B), range(B)].sum()
        torch.testing.assert_close(done.loss_nats_sum, by_hand)
        assert int(done.counts["correct"]) == int((expected.argmax(-1) == torch.arange(B)).sum())


def digest(case: str) -> str:
    model = build(case, 5, p_dropout=0.2)
    torch.manual_seed(1)
    loss = score(model, sequences()).loss_nats_sum
    loss.backward()
    values = [loss, *(p.grad for p in model.parameters())]
    return digest_of(b"".join(v.detach().numpy().tobytes() for v in values))


def test_equal_seeds_give_equal_bits() -> None:
    assert [digest(case) for case in CASES] == [digest(case) for case in CASES]


@pytest.mark.thorough
def test_equal_seeds_give_equal_bits_in_two_processes() -> None:
    expected = [digest(case) for case in CASES]
    assert digests_elsewhere("test_classification_contract") == expected
