"""Draws with LiteLLM's image call: `python -m tests.clients.litellm_call BASE_URL`. Prints what it got as JSON.

A process of its own: LiteLLM takes seconds to load, and changes what it likes.
"""

from __future__ import annotations

import json
import os
import sys

if __name__ == "__main__":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch its prices
    import litellm

    base = f"{sys.argv[1]}/v1"
    drawn = litellm.image_generation(
        model="openai/gpt-image-1", prompt="a red house", n=2, size="64x64", api_base=base, api_key="none"
    )
    try:
        litellm.image_generation(model="openai/nowhere", prompt="a red house", api_base=base, api_key="none")
        refused = None
    except litellm.exceptions.NotFoundError as error:
        refused = type(error).__name__
    print(json.dumps({"pictures": [image.b64_json for image in drawn.data], "refused": refused}))
