"""What colours the channels of latents stand for, as published for four families of autoencoders.

One row per channel: what it adds to red, green and blue, from -1 to 1. The numbers are those of InvokeAI
(`invokeai/app/util/step_callback.py`, Apache-2.0), which names their authors: for Stable Diffusion 1 keturn and
torridgristle (discuss.huggingface.co, "Decoding latents to RGB without upscaling"), for SDXL StAlKeR7779, for SD 3 and
FLUX linear fits to encoded pictures. Used until enough was learned of the model itself.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

_SD1: Final = (
    (0.3444, 0.1385, 0.0670),
    (0.1247, 0.4027, 0.1494),
    (-0.3192, 0.2513, 0.2103),
    (-0.1307, -0.1874, -0.7445),
)
_SDXL: Final = (
    (0.3816, 0.4930, 0.5320),
    (-0.3753, 0.1631, 0.1739),
    (0.1770, 0.3588, -0.2048),
    (-0.4350, -0.2644, -0.4289),
)
_SD3: Final = (
    (-0.0524, 0.0325, 0.0749),
    (-0.0581, 0.0076, 0.0573),
    (0.1614, 0.0127, -0.0377),
    (0.1442, 0.0846, 0.1594),
    (0.0489, 0.0056, -0.0669),
    (0.0519, 0.1922, 0.0626),
    (0.1539, 0.0482, 0.0710),
    (-0.0860, 0.0901, 0.1089),
    (-0.1240, -0.0677, 0.0034),
    (-0.0440, 0.0783, 0.0226),
    (0.0310, 0.0638, 0.0775),
    (-0.0132, 0.0855, -0.0877),
    (0.0646, 0.0591, 0.1326),
    (-0.0786, -0.0226, -0.1276),
    (-0.0992, -0.0801, -0.0626),
    (-0.0339, -0.0804, -0.0608),
)
_FLUX: Final = (
    (-0.0412, 0.0149, 0.0521),
    (0.0056, 0.0291, 0.0768),
    (0.0342, -0.0681, -0.0427),
    (-0.0258, 0.0092, 0.0463),
    (0.0863, 0.0784, 0.0547),
    (-0.0017, 0.0402, 0.0158),
    (0.0501, 0.1058, 0.1152),
    (-0.0209, -0.0218, -0.0329),
    (-0.0314, 0.0083, 0.0896),
    (0.0851, 0.0665, -0.0472),
    (-0.0534, 0.0238, -0.0024),
    (0.0452, -0.0026, 0.0048),
    (0.0892, 0.0831, 0.0881),
    (-0.1117, -0.0304, -0.0789),
    (0.0027, -0.0479, -0.0043),
    (-0.1146, -0.0827, -0.0598),
)
#: By what autoencoders of a family have in common: channels, scaling factor, shift factor.
_FAMILIES: Final = {
    (4, 0.18215, 0.0): _SD1,
    (4, 0.13025, 0.0): _SDXL,
    (16, 1.5305, 0.0609): _SD3,
    (16, 0.3611, 0.1159): _FLUX,
}


def of(config: Any) -> Tensor | None:
    """The colours (channels, 3) of the latents of an autoencoder of this configuration; None if nothing is known."""
    if config.get("latents_mean") is not None:
        return None  # of a family, but scaled otherwise
    key = (config.get("latent_channels"), config.get("scaling_factor"), config.get("shift_factor") or 0.0)
    rows = _FAMILIES.get(key)
    return None if rows is None else torch.tensor(rows)
