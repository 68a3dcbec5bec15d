"""The optimizer that a run's options ask for."""

from collections.abc import Iterable

from autograd import Parameter
from tinygrad_llm.errors import UserError
from tinygrad_llm.optimizer_options import OptimizerChoice
from tinygrad_llm.training.optim.adamw import AdamW
from tinygrad_llm.training.optim.muon import Muon, in_a_block
from tinygrad_llm.training.optim.optimizer import Optimizer
from tinygrad_llm.training.optim.sgd import SGD


def make_optimizer(params: Iterable[tuple[str, Parameter]], options: OptimizerChoice) -> Optimizer:
    """The optimizer of ``options`` for these parameters.

    Its learning rate is to be set before each step, by the schedule. Raises UserError for muon
    without a matrix of a block.
    """
    params = list(params)
    o = options.with_defaults()
    decay, betas = o.weight_decay or 0.0, (o.beta1, o.beta2)
    if o.optimizer == "adamw":
        return AdamW(params, betas=betas, weight_decay=decay)
    momentum = o.momentum or 0.0
    if o.optimizer == "sgd":
        nesterov = o.nesterov and momentum > 0  # there is nothing to look ahead along
        return SGD(params, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    if not any(in_a_block(name, p) for name, p in params):
        raise UserError(
            "muon trains the matrices of the blocks, and none of them is trained here: use "
            "--optimizer adamw"
        )
    return Muon(
        params, momentum=momentum, nesterov=o.nesterov, weight_decay=decay, factor=o.muon_factor,
        betas=betas, adamw_lr_ratio=o.adamw_lr_ratio,
    )  # fmt: skip
