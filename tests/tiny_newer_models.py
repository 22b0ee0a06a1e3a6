"""Tiny pipelines of families that the catalog does not ship, but that an entry alone must be enough for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_models import _LETTERS, _clip_text_config, _clip_tokenizer, _unet, _vae, save_flux


def save_flux_schnell(folder: Path) -> None:
    """FLUX.1-schnell: a FluxPipeline whose transformer takes no guidance at all."""
    save_flux(folder, guidance_embeds=False)


def save_stable_diffusion_xl(folder: Path) -> None:
    """A StableDiffusionXLPipeline: two CLIP encoders, a UNet that is told the picture's size."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(4)
    tokenizer = _clip_tokenizer()
    unet = _unet(
        cross_attention_dim=64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )
    StableDiffusionXLPipeline(
        vae=_vae(4),
        text_encoder=CLIPTextModel(_clip_text_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(_clip_text_config(tokenizer)),
        tokenizer_2=_clip_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    ).save_pretrained(folder, safe_serialization=True)


def save_flux_fill(folder: Path) -> None:
    """FLUX.1-Fill: a pipeline that only mends pictures, whose transformer is shown the picture and its mask."""
    import torch
    from diffusers import FluxFillPipeline, FluxPipeline, FluxTransformer2DModel

    save_flux(folder)
    plain = FluxPipeline.from_pretrained(folder)
    torch.manual_seed(7)
    # Beside the latents: those of what is kept, and eight times eight pixels of the mask for each cell, here four.
    config = dict(plain.transformer.config) | {"in_channels": 4 + 4 + 4 * plain.vae_scale_factor**2, "out_channels": 4}
    transformer = FluxTransformer2DModel.from_config(config)
    parts = {name: part for name, part in plain.components.items() if part is not None}
    FluxFillPipeline(**parts | {"transformer": transformer}).save_pretrained(folder, safe_serialization=True)


def _qwen_tokenizer() -> Any:
    from transformers import Qwen2TokenizerFast  # type: ignore[attr-defined]  # made when it is asked for

    letters = [*_LETTERS, "Ġ", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    tokenizer = Qwen2TokenizerFast(
        vocab={letter: number for number, letter in enumerate(letters)},
        merges=[],
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }} {{ message['content'] }}<|im_end|>{% endfor %}"
    )
    return tokenizer


def save_qwen_image(folder: Path) -> None:
    """A QwenImagePipeline: a vision-language model reads the prompt, guidance is a second pass."""
    import torch
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(5)
    tokenizer = _qwen_tokenizer()
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1000000.0},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
    )
    QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2, 2, 2],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
    ).save_pretrained(folder, safe_serialization=True)


def save_flux_2(folder: Path) -> None:
    """A Flux2KleinPipeline: the FLUX.2 transformer and autoencoder, with Qwen3 as its reader."""
    import torch
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(6)
    tokenizer = _qwen_tokenizer()
    reader = Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=28,  # the pipeline reads what layers 9, 18 and 27 say
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
    )
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLFlux2(
            block_out_channels=(4, 8),
            decoder_block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            layers_per_block=1,
            latent_channels=1,
            norm_num_groups=1,
            sample_size=32,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=Qwen3ForCausalLM(reader),
        tokenizer=tokenizer,
        transformer=Flux2Transformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=48,
            timestep_guidance_channels=256,
            axes_dims_rope=(4, 4, 4, 4),
        ),
    ).save_pretrained(folder, safe_serialization=True)
