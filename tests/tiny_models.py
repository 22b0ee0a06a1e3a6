"""Tiny pipelines with random weights, made from configs with the real diffusers classes and saved to a folder.

They draw noise, but they load, take arguments, run their steps and fail exactly like the big ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

#: The word pieces of every tiny tokenizer: single letters, so that any two prompts differ.
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789.,-[]!:"


def _clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    pieces = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _clip_text_config(tokenizer: Any, size: int = 32) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=size,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=len(tokenizer),
        projection_dim=size,
        hidden_act="gelu",
    )


def _t5() -> tuple[Any, Any]:
    """A T5 encoder and a tokenizer of letters for it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    pieces = ["<pad>", "</s>", "<unk>", *_LETTERS]
    inner = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
    config = T5Config(
        vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    return T5EncoderModel(config), tokenizer


def letter_tokenizers() -> tuple[Any, Any]:
    """A CLIP tokenizer and one for T5, both of single letters."""
    return _clip_tokenizer(), _t5()[1]


def _vae(latent_channels: int, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        **options,
    )


def _unet(**options: Any) -> Any:
    """A UNet of two levels that attends to the prompt in the lower one."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        **options,
    )


def save_stable_diffusion(folder: Path) -> None:
    """A StableDiffusionPipeline: one CLIP encoder, a UNet, classifier-free guidance, negative prompts."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(1)
    tokenizer = _clip_tokenizer()
    unet = _unet(cross_attention_dim=32)
    pipeline = StableDiffusionPipeline(
        vae=_vae(4),
        text_encoder=CLIPTextModel(_clip_text_config(tokenizer)),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def save_flux(folder: Path, *, guidance_embeds: bool = True) -> None:
    """A FluxPipeline: CLIP and T5, a distilled transformer that takes its guidance as a number (or, schnell, none)."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    torch.manual_seed(2)
    tokenizer = _clip_tokenizer()
    t5, t5_tokenizer = _t5()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance_embeds,
    )
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(1, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5035),
        text_encoder=CLIPTextModel(_clip_text_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    ).save_pretrained(folder, safe_serialization=True)


def save_stable_diffusion_3(folder: Path) -> None:
    """A StableDiffusion3Pipeline: two CLIP encoders and T5, true classifier-free guidance, negative prompts."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(3)
    tokenizer = _clip_tokenizer()
    t5, t5_tokenizer = _t5()
    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=1,
        in_channels=16,  # its inpainting takes no other number
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=16,
    )
    StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5035),
        text_encoder=CLIPTextModelWithProjection(_clip_text_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(_clip_text_config(tokenizer)),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=t5,
        tokenizer_3=t5_tokenizer,
        transformer=transformer,
    ).save_pretrained(folder, safe_serialization=True)


#: By the model keys of `catalog_text`.
MAKERS: Final[dict[str, Callable[[Path], None]]] = {
    "tiny-sd": save_stable_diffusion,
    "tiny-flux": save_flux,
    "tiny-sd3": save_stable_diffusion_3,
}


def save_all(weights: Path) -> None:
    """Every tiny model, each in a folder named by its key."""
    for key, make in MAKERS.items():
        make(weights / key)


def catalog_text(default: str = "tiny-sd") -> str:
    """A catalog of the tiny models, as an operator would write it; `gone` has no weights."""
    negative = "capabilities = { negative_prompt = true, callback_steps = true }"
    parts = [f"default = {json.dumps(default)}"]
    for key, about in (("tiny-sd", negative), ("tiny-flux", ""), ("tiny-sd3", negative), ("gone", "")):
        parts.append(
            f"[models.{key}]\nid = 'tests/{key}'\ndescription = 'for tests'\n{about}\n"
            "defaults = { num_inference_steps = 3, guidance_scale = 5.0, height = 32, width = 32, "
            "max_sequence_length = 32 }\n"
            "limits = { min_side = 16, max_side = 512, size_multiple = 8, max_steps = 1000, max_sequence_length = 64 }"
        )
    return "\n\n".join(parts) + "\n"
