"""The list of transformer layers inside a model, whatever the model calls it.

Any run of consecutive layers can be carried out by the model's own forward: the other layers are
passed by, and what enters the first of the run may be given. So everything that a model does
around its layers (rotary positions, masks, scaled embeddings, windows by layer, the final norm)
is the model's own, and no architecture needs code here.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear, Module, ModuleList
from transformers import DynamicCache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.errors import InputError


def layer_path(model: PreTrainedModel) -> str:
    """Return where the list of layers is in ``model``, such as "layers" or "encoder.layer".

    Raises:
        InputError: when the model has no list of as many modules as its configuration has layers.
    """
    count = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    for name, module in model.named_modules():
        if isinstance(module, ModuleList) and count and len(module) == count:
            return str(name)
    message = f"{type(model).__name__} has no list of layers: it cannot be cut or adapted in parts"
    raise InputError(message)


def layers_of(model: PreTrainedModel) -> ModuleList:
    """Return the list of layers itself."""
    layers = model.get_submodule(layer_path(model))
    assert isinstance(layers, ModuleList)  # noqa: S101 - layer_path looked
    return layers


def linear_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the distinct last names of the linear modules inside the layers, sorted.

    A name may stand for several modules of a layer: BERT's "dense" for ``attention.output.dense``,
    ``intermediate.dense`` and ``output.dense``. As in peft's ``target_modules``, a longer end of
    the path picks one out.
    """
    inside = (named for layer in layers_of(model) for named in layer.named_modules())
    kinds = (Linear, Conv1D)
    return tuple(sorted({name.rpartition(".")[2] for name, m in inside if isinstance(m, kinds)}))


def keep_layers(model: PreTrainedModel, count: int) -> None:
    """Drop the layers of ``model`` after the first ``count``; the final norm stays.

    Raises:
        InputError: when the model has fewer.
    """
    layers, config = layers_of(model), model.config.get_text_config()
    if count > len(layers):
        message = f"encoder.layers is {count}, but the model has {len(layers)} layers"
        raise InputError(message)
    del layers[count:]
    config.num_hidden_layers = count
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]


class Run(NamedTuple):
    """Which layers to run, what enters the first of them, and which states to keep."""

    layers: range
    states: Tensor | None = None  # (texts, tokens, dimensions); None: what the tokens give
    keep: Collection[int] = ()  # numbers of layers after which the states are kept
    cache: DynamicCache | None = None  # keys and values of tokens before those that are run


class Stack:
    """A model whose layers can be run in parts; every module and weight is the model's own.

    What is run and what was kept belongs to a thread, so batches may go side by side.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.count = len(layers_of(model))
        self._here = threading.local()
        pairs = _returns_tuples(model)
        wrapped = [
            _Layer(layer, index, self, pairs) for index, layer in enumerate(layers_of(model))
        ]
        self._model = _with_module(model, layer_path(model).split("."), ModuleList(wrapped))
        pad = getattr(model.config.get_text_config(), "pad_token_id", None)
        self._filler = 1 if pad == 0 else 0

    def __call__(self, tokens: Tensor, mask: Tensor | None, run: Run) -> Tensor:
        """Return the last hidden state; ``kept`` then holds the states that ``run`` keeps."""
        self._here.run, self._here.kept = run, {}
        before = {} if run.cache is None else {"past_key_values": run.cache}
        last: Tensor = self._model(
            input_ids=tokens, attention_mask=mask, use_cache=run.cache is not None, **before
        ).last_hidden_state
        del self._here.run
        return last

    @property
    def run(self) -> Run:
        """What this thread runs: all layers, unless it is in the middle of a call."""
        return getattr(self._here, "run", Run(range(self.count)))

    @property
    def kept(self) -> dict[int, Tensor]:
        """The states that this thread's last call kept, by the number of layers before them."""
        found: dict[int, Tensor] = self._here.kept
        return found

    def resume(self, states: Tensor, mask: Tensor | None, run: Run) -> Tensor:
        """Return the last hidden state when ``states`` enter the first layer of ``run``.

        The model is called with filler tokens, whose embeddings nothing reads.
        """
        tokens = torch.full(states.shape[:2], self._filler, device=states.device)
        return self(tokens, mask, run._replace(states=states))

    def at(self, place: int, states: Tensor) -> Tensor:
        """Return the states that go on after ``place`` layers, and keep them if they are wanted."""
        if place == self.run.layers.start and self.run.states is not None:
            states = self.run.states
        if place in self.run.keep:
            self.kept[place] = states
        return states


class _Layer(Module):
    """Stands where a layer was: runs it or passes it by, as the stack's run says."""

    def __init__(self, layer: Module, index: int, stack: Stack, returns_tuples: bool) -> None:  # noqa: FBT001
        super().__init__()
        self.layer = layer
        self._index, self._tuples = index, returns_tuples
        object.__setattr__(self, "_stack", stack)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the model asks of its layer
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, hidden_states: Tensor, *args: Any, **given: Any) -> Any:  # noqa: ANN401
        """Return what the layer returns, or the states as they came in its place."""
        stack: Stack = self._stack
        states = stack.at(self._index, hidden_states)
        rest: tuple[Any, ...] = ()
        if self._index in stack.run.layers:
            output = self.layer(states, *args, **given)
            states, rest = (output[0], output[1:]) if self._tuples else (output, ())
        if self._index == stack.count - 1:
            states = stack.at(stack.count, states)
        return (states, *rest) if self._tuples else states


def _with_module(parent: Any, path: list[str], module: Module) -> Any:  # noqa: ANN401
    """Return a copy of ``parent`` with another module at ``path``; all else is shared."""
    view = copy.copy(parent)
    view._modules = dict(parent._modules)
    below = module if len(path) == 1 else _with_module(getattr(parent, path[0]), path[1:], module)
    view._modules[path[0]] = below
    return view


class _Seen(Exception):  # noqa: N818 - not an error
    """Ends a forward once the first layer has answered."""

    def __init__(self, output: object) -> None:
        self.output = output


@torch.no_grad()
def _returns_tuples(model: PreTrainedModel) -> bool:
    """Return whether the layers of a model give a tuple, as those of older code do."""

    def stop(_: Module, __: tuple[Any, ...], output: object) -> None:
        raise _Seen(output)

    hook = layers_of(model)[0].register_forward_hook(stop)
    try:
        model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device))
    except _Seen as seen:
        return isinstance(seen.output, tuple)
    finally:
        hook.remove()
    return False
