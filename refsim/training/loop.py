"""The training loop: SGD with momentum and a cosine schedule, resumable to the bit on the CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from refsim.exceptions import RefsimError, UsageError
from refsim.training import checkpoint
from refsim.training.activations import Activation
from refsim.training.architectures import VGG, ResNet, build
from refsim.training.augment import augment
from refsim.training.data import Data, Split
from refsim.training.noise import measure_delta, set_delta
from refsim.training.recipe import Epoch, Recipe, learning_rate
from refsim.training.scoring import SIMULATION_BATCH, ann_accuracy, batches, snn_accuracy, watched
from refsim.training.snn import DUAL_THETA_NEG


class DivergedError(RefsimError, ArithmeticError):
    """Training left the numbers."""


def _generator(*key: int) -> torch.Generator:
    """A generator that depends on the key alone, so that data order needs no state but (epoch, step)."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % 2**62
    return torch.Generator().manual_seed(seed)


class Training:
    """A run in a folder, where `checkpoint.pt` always holds what it takes to go on from.

    Parameters
    ----------
    recipe, data, folder
        A folder with a `checkpoint.pt` is a run to go on with, under the same recipe.
    save_every
        Also save after every so many steps within an epoch; 0: at the end of each epoch only.
    """

    def __init__(self, recipe: Recipe, data: Data, folder: Path, *, save_every: int = 0) -> None:
        self.recipe, self.data, self.folder, self.save_every = recipe, data, folder, save_every
        if recipe.batch > len(data.train):
            raise UsageError(f"--batch {recipe.batch}: only {len(data.train)} images to train on")
        torch.manual_seed(recipe.seed)
        self.model: VGG | ResNet = build(
            recipe.arch,
            input_shape=data.input_shape,
            classes=data.n_classes,
            activation=recipe.activation,
            L=recipe.L,
            lambda_=recipe.lambda_,
            head=recipe.head,
            dropout=recipe.dropout,
        )
        self.converts = any(isinstance(module, Activation) for module in self.model.modules())
        if recipe.tau and recipe.activation != "nq":
            raise UsageError(f"--tau: {recipe.activation} has no noise to measure; it is for --activation nq")
        if recipe.select == "snn" and not self.converts:
            raise UsageError(f"--select snn: {recipe.activation} has no thresholds to simulate with")
        if recipe.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self.history: list[dict[str, Any]] = []
        self.epoch = self.step = 0  # the next ones to do
        self.loss_sum = self.seconds = 0.0
        self.delta: dict[str, float] = {}
        self.best_score = -1.0
        self.best: dict[str, Any] = {}
        self.left_alone: list[str] = []  # parameters a warm start found no values for
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "checkpoint.pt"
        if self.path.exists():
            self._restore()
        elif recipe.init:
            self.left_alone = checkpoint.warm_start(self.model, Path(recipe.init), readout=recipe.init_readout)
            if recipe.activation == "nq":
                self._induce_noise()
        self.forward = torch.compile(self.model) if recipe.compiled else self.model

    def _save(self) -> None:
        checkpoint.save_atomically(
            {
                "recipe": self.recipe.plain(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "rng": torch.get_rng_state(),
                "epoch": self.epoch,
                "step": self.step,
                "loss_sum": self.loss_sum,
                "seconds": self.seconds,
                "history": self.history,
                "delta": self.delta,
                "best_score": self.best_score,
                "best": self.best,
            },
            self.path,
        )

    def _restore(self) -> None:
        saved = checkpoint.load(self.path)
        ours = self.recipe.plain()
        defaults = {each.name: each.default for each in fields(Recipe)}
        for name in ours:
            value = saved["recipe"].get(name, defaults[name])
            if ours[name] != value:
                raise UsageError(
                    f"{self.path}: this run was begun with {name} = {value!r}, not {ours[name]!r}; "
                    "give the same options, or another folder with --run"
                )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name in ("epoch", "step", "loss_sum", "seconds", "history", "delta", "best_score", "best"):
            setattr(self, name, saved[name])
        set_delta(self.model, self.delta)
        torch.set_rng_state(saved["rng"])

    def _train_step(self, rows: Tensor) -> float:
        recipe = self.recipe
        images = augment(
            self.data.train.images[rows],
            recipe.augment,
            _generator(recipe.seed, self.epoch, self.step, 1),
            shift=recipe.crop,
        )
        x = self.data.normalise(images)
        if recipe.channels_last:
            x = x.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            loss = nn.functional.cross_entropy(
                self.forward(x), self.data.train.labels[rows], label_smoothing=recipe.label_smoothing
            )
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(f"epoch {self.epoch + 1}, step {self.step + 1}: the loss is {value}; lower --lr")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return value

    def run_epoch(self, on_step: Callable[[int, int], None]) -> Epoch:
        """Train one epoch, look at it, save; `on_step(done, total)` is called after every step."""
        recipe = self.recipe
        order = torch.randperm(len(self.data.train), generator=_generator(recipe.seed, self.epoch, 0))
        n_steps = len(order) // recipe.batch
        self.model.train()
        began = time.perf_counter()
        while self.step < n_steps:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, self.epoch + self.step / n_steps)
            self.loss_sum += self._train_step(order[self.step * recipe.batch : (self.step + 1) * recipe.batch])
            self.step += 1
            on_step(self.step, n_steps)
            if self.save_every and self.step % self.save_every == 0:
                self.seconds += time.perf_counter() - began
                self._save()
                began = time.perf_counter()
        self.seconds += time.perf_counter() - began
        self._check_thresholds()
        epoch = self._look(n_steps)
        self.history.append(asdict(epoch))
        self.epoch, self.step, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0
        self._save()
        return epoch

    def _check_thresholds(self) -> None:
        for name, module in self.model.named_modules():
            if isinstance(module, Activation) and not float(module.thresh.detach()) > 0:
                raise DivergedError(
                    f"epoch {self.epoch + 1}: lambda of '{name}' fell to {float(module.thresh.detach()):.4g}; "
                    "lower --lr, or begin with another --lambda"
                )

    def _look(self, n_steps: int) -> Epoch:
        """Score the epoch just trained, measure the noise of the next one (NQ), keep the best weights."""
        recipe, validation = self.recipe, self.data.validation
        snn_if, snn_dual = self._snn(validation)
        if recipe.activation == "nq":
            self._induce_noise()
        epoch = Epoch(
            number=self.epoch + 1,
            loss=self.loss_sum / n_steps,
            ann=ann_accuracy(self.model, self.data, validation),
            snn_if=snn_if,
            snn_dual=snn_dual,
            images_per_s=n_steps * recipe.batch / self.seconds,
            seconds=self.seconds,
            delta=self.delta,
        )
        if recipe.select != "last":
            score = epoch.ann if recipe.select == "ann" else epoch.snn_if[recipe.T]
            if score > self.best_score:
                self.best_score = score
                self.best = {key: value.clone() for key, value in self.model.state_dict().items()}
        return epoch

    def measure_delta(self) -> dict[str, float]:
        """Noise intensity of every layer of the network as it is now, on the watched validation images."""
        part = watched(self.data.validation, self.recipe.n_watched)
        return measure_delta(
            self.model, (x for x, _ in batches(self.data, part, SIMULATION_BATCH)), self.recipe.steps_of_delta
        )

    def _induce_noise(self) -> None:
        self.delta = self.measure_delta()
        set_delta(self.model, self.delta)

    def _snn(self, split: Split) -> tuple[dict[int, float], dict[int, float]]:
        if not self.converts:
            return {}, {}
        part, T = watched(split, self.recipe.n_watched), self.recipe.T
        return (
            snn_accuracy(self.model, self.data, part, T),
            snn_accuracy(self.model, self.data, part, T, DUAL_THETA_NEG),
        )

    def run(self, on_step: Callable[[int, int], None], on_epoch: Callable[[Epoch], None]) -> None:
        """Train what is left of the epochs; the model then holds the weights of the epoch that `select` keeps."""
        while self.epoch < self.recipe.epochs:
            on_epoch(self.run_epoch(on_step))
        if self.best:
            self.model.load_state_dict(self.best)

    def score_test(self) -> dict[str, Any]:
        """Score the test set, once, with the weights that were kept."""
        snn_if, snn_dual = self._snn(self.data.test)
        return {
            "ann": ann_accuracy(self.model, self.data, self.data.test),
            "snn_if": snn_if,
            "snn_dual": snn_dual,
            "snn_images": min(self.recipe.n_watched, len(self.data.test)),
        }
