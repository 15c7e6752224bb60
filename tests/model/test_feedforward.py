import torch

from switchhead_lab.model.feedforward import DenseFeedForwardBlock
from switchhead_lab.variants.dense_feedforward import DenseFeedForward


def test_dropout_does_not_change_the_mean_of_a_feed_forward_block() -> None:
    """Dropout's scale is in the weights, so dropout does not change the mean."""
    block = DenseFeedForwardBlock(DenseFeedForward(d_ff=4000, p_dropout=0.25), 2)
    block.reset_parameters(1.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        block.down.weight.fill_(1.0)
        x = torch.randn(64, 3, 2, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        dropped, kept = block.train()(x, None).output_BTD, block.eval()(x, None).output_BTD
    assert not torch.equal(dropped, kept)
    assert abs(dropped.mean() / kept.mean() - 1) < 0.01
