"""Put the trained parts together into a pipeline folder that diffusers loads.

python -m demo_model.training.export --data WORK --out demo_model/pipeline
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from demo_model.training.autoencoder import new_autoencoder
from demo_model.training.denoiser import SCHEDULE, new_denoiser
from demo_model.training.text_encoder import new_text_encoder


def scheduler() -> DPMSolverMultistepScheduler:
    """The sampler: second order, on the noise schedule of training."""
    settings = {key: value for key, value in SCHEDULE.items() if key != "rescale_betas_zero_snr"}
    return DPMSolverMultistepScheduler(
        **settings,
        rescale_betas_zero_snr=True,
        algorithm_type="dpmsolver++",
        solver_order=2,
        lower_order_final=True,
    )


def assembled(
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    denoiser: UNet2DConditionModel,
    autoencoder: AutoencoderKL,
) -> StableDiffusionPipeline:
    """The pipeline in half precision, as it is stored."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipeline.to(torch.float16)


def trained(folder: Path) -> StableDiffusionPipeline:
    """The pipeline with the weights of the run in ``folder``."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text_encoder, denoiser = new_text_encoder(tokenizer), new_denoiser()
    autoencoder = new_autoencoder()
    text_encoder.load_state_dict(_stored(folder, "text_encoder")["model"])
    denoiser.load_state_dict(_stored(folder, "denoiser")["average"])
    autoencoder.load_state_dict(_stored(folder, "autoencoder")["model"])
    return assembled(text_encoder, tokenizer, denoiser, autoencoder)


def untrained(folder: Path) -> StableDiffusionPipeline:
    """A pipeline of the same shape with random weights; ``folder`` holds the tokenizer."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    return assembled(new_text_encoder(tokenizer), tokenizer, new_denoiser(), new_autoencoder())


def store(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the pipeline; loaded without a dtype, all of it computes in single precision.

    diffusers does so by itself, transformers would keep the half precision of the file.
    """
    pipeline.save_pretrained(folder, safe_serialization=True)
    path = folder / "text_encoder" / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _stored(folder: Path, name: str) -> dict[str, dict[str, torch.Tensor]]:
    state = torch.load(folder / f"{name}.pt", weights_only=True, map_location="cpu")
    return {key: value for key, value in state.items() if key in ("model", "average")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline")
    options = parser.parse_args()
    store(trained(options.data), options.out)


if __name__ == "__main__":
    main()
