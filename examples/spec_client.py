"""The client that the API's specification prints, as a program: submit, poll, download.

python examples/spec_client.py [model] [prompt]
"""

from __future__ import annotations

import os
import sys
import time

import requests

API_BASE = os.environ.get("API_BASE", "http://localhost:5050/api")
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "5"))


def main(model: str = "demo", prompt: str = "A cyberpunk city at night with neon signs and flying cars") -> int:
    """Returns 0 when the images are saved, 1 when the job failed."""
    # 1. Get available models
    models = requests.get(f"{API_BASE}/models", timeout=30).json()
    print("Available:", ", ".join(models["models"]), "- default:", models["default"])

    # 2. Submit generation request
    response = requests.post(
        f"{API_BASE}/generate",
        json={"model_id": model, "prompt": prompt, "settings": {"num_images": 2, "guidance_scale": 8.0}},
        timeout=30,
    )
    job_id = response.json()["job_id"]

    # 3. Poll for completion
    while True:
        status = requests.get(f"{API_BASE}/status/{job_id}", timeout=30).json()
        if status["status"] == "processing" and "progress" in status:
            progress = status["progress"]
            if progress["generating"] and progress["step"] is not None:
                print(f"Generating: Step {progress['step']}/{progress['total_steps']}")
        if status["status"] == "completed":
            # 4. Download all generated images
            for number, image_info in enumerate(status["images"], start=1):
                image = requests.get(f"{API_BASE}/get_image/{image_info['id']}", timeout=30)
                with open(f"generated_image_{number}.png", "wb") as file:
                    file.write(image.content)
                print(f"Saved image {number}/{len(status['images'])}")
            return 0
        if status["status"] == "failed":
            print(f"Generation failed: {status.get('message')}")
            return 1
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
