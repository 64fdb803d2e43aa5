"""Stage one: the discrete latent space of eye gaze (TalkingEyes, Section IV-C)."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from ..inference.gaze_vqvae import GazeVQVAE
from . import losses
from .batches import WHOLE, Crops, Share, fingerprint, statistics
from .config import GazeVQVAEStage
from .dataset import Dataset
from .loop import plain


class GazeVQVAETraining:
    """Trains ``GazeVQVAE`` by self-reconstruction of eye motion."""

    name = "gaze-vqvae"

    def __init__(self, dataset: Dataset, config: GazeVQVAEStage, device: str = "cpu") -> None:
        self.config, self.dataset = config, dataset
        train = dataset.split("train")
        self.train = Crops(train, config.loop.frames, sound=False)
        self.validation = Crops(dataset.split("validation"), config.loop.frames, sound=False)
        torch.manual_seed(config.loop.seed)
        model = GazeVQVAE(config.model)
        model.set_statistics(*statistics(train, config.channel))
        self.networks = nn.ModuleDict({"gaze_vqvae": model}).to(device)
        self._data = fingerprint(dataset)
        self.unused = torch.zeros(config.model.codes, dtype=torch.long, device=device)

    def describe(self) -> dict:
        return {"config": plain(self.config), "data": self._data, "head_model": self.dataset.head_model}

    def steps_an_epoch(self) -> int:
        return max(1, len(self.train) // self.config.loop.batch)

    def batch(self, rng: np.random.Generator, share: Share = WHOLE) -> dict[str, Tensor]:
        drawn = self.train.draw(self.config.loop.batch, rng, share)
        return {"eyes": drawn[self.config.channel], "valid": drawn["valid"], "present": drawn["present"]}

    def losses(self, batch: dict[str, Tensor], progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        model, valid = self.networks["gaze_vqvae"], batch["valid"]
        features = model.encode(batch["eyes"], batch["present"]).float()
        if self.config.reset_after:
            self._reset_dead_codes(model, features.detach(), valid, generator)
        quantised, codes = model.quantise(features)
        chosen = F.embedding(codes, model.codebook)
        made = model.decode(quantised).float()
        # Normalised, so that the terms of Eq. 7 weigh alike whatever the unit of the motion.
        made, true = made / model.scale, batch["eyes"] / model.scale
        terms = {
            "reconstruction": losses.reconstruction(made, true, valid),
            "velocity": losses.velocity(made, true, valid),
            **losses.codebook_and_commitment(features, chosen, valid, self.config.beta),
        }
        terms["total"] = (
            terms["reconstruction"] + terms["codebook"] + terms["commitment"] + self.config.velocity * terms["velocity"]
        )
        return terms

    @torch.no_grad()
    def _reset_dead_codes(self, model: GazeVQVAE, features: Tensor, valid: Tensor, generator: torch.Generator) -> None:
        """Put codes that nothing chose for long on features of this batch: without it most of a codebook dies."""
        found = features[valid]
        used = torch.bincount(model.nearest(found).flatten(), minlength=len(self.unused)) > 0
        used = reduce(used.long(), "sum") > 0  # over processes: the codebook must stay one
        self.unused = torch.where(used, 0, self.unused + 1)
        dead = (self.unused > self.config.reset_after).nonzero()[:, 0]
        if len(dead) and len(found):
            at = torch.randint(len(found), (len(dead),), generator=generator).to(found.device)
            model.codebook.data[dead] = broadcast(found[at].to(model.codebook.dtype))
            self.unused[dead] = 0

    def extra_state(self) -> dict:
        return {"unused": self.unused}

    def load_extra_state(self, state: dict) -> None:
        self.unused.copy_(state["unused"])

    def validate(self) -> dict[str, float]:
        """Error in degrees, codebook use and perplexity, and deviation of the reconstruction against the data's."""
        model, rng = self.networks["gaze_vqvae"], np.random.default_rng(0)
        squares, count, seen, made_all, true_all = 0.0, 0, [], [], []
        for _ in range(8):
            batch = self.validation.draw(16, rng)
            batch = {name: value.to(model.mean.device) for name, value in batch.items()}
            eyes, valid = batch[self.config.channel], batch["valid"]
            made, _, codes = model(eyes, batch["present"])
            squares += (made - eyes).square().mean(-1)[valid].sum().item()
            count += int(valid.sum())
            seen.append(codes[valid])
            made_all.append(made[valid])
            true_all.append(eyes[valid])
        self._curves = {
            f"{name}, degrees": tuple(np.degrees(motion[0, :, axis].detach().cpu().numpy()) for motion in (made, eyes))
            for name, axis in (("to the left", 1), ("down", 0))
        }
        use = torch.bincount(torch.cat(seen), minlength=model.config.codes).double()
        share = use / use.sum()
        made, true = torch.cat(made_all), torch.cat(true_all)
        moves = true.std(0) > 1e-6
        error = float(np.degrees(np.sqrt(squares / max(count, 1))))
        return {
            "score": error,
            "error_degrees": error,
            "codes_used": int((use > 0).sum()),
            "perplexity": torch.exp(-(share * share.clamp_min(1e-12).log()).sum()).item(),
            "deviation_ratio": (made.std(0)[moves] / true.std(0)[moves]).mean().item(),
        }

    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Reconstructed and real motion of one clip of the last validation, in degrees."""
        return self._curves
