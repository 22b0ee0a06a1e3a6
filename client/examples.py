"""What stands at the head of each command's help: three ways to use it. Tests hold that each of them can be run."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, str, str]]] = {
    "": (
        'cyberimage "a red house"',
        "cyberimage gallery --search house",
        "cyberimage watch",
    ),
    "generate": (
        'cyberimage "a red house" -o house.jpg',
        'cyberimage "a castle on a hill" --images 4 --size 512x768 -o "castles/{n}-{seed}.png"',
        "cyberimage --prompts prompts.txt --detach",
    ),
    "submit": (
        "cyberimage submit job.json",
        "cyberimage submit job.json --wait -o house.png",
        "cyberimage submit - < job.json",
    ),
    "enrich": (
        'cyberimage enrich "a castle on a hill"',
        'cyberimage enrich "a castle on a hill" --style fantasy',
        "cyberimage enrich - < prompt.txt",
    ),
    "wait": (
        "cyberimage wait @last",
        "cyberimage wait 3f9a2c1d -o pictures/",
        "cyberimage wait 3f9a2c1d e05b61aa -o {n}.webp",
    ),
    "cancel": (
        "cyberimage cancel @last",
        "cyberimage cancel 3f9a2c1d",
        "cyberimage cancel 3f9a2c1d e05b61aa",
    ),
    "move": (
        "cyberimage move @last",
        "cyberimage move 3f9a2c1d e05b61aa --back",
        "cyberimage move 3f9a2c1d --before e05b61aa",
    ),
    "favourite": (
        "cyberimage favourite 77b0e412_2",
        "cyberimage favourite @last",
        "cyberimage favourite 77b0e412_2 --remove",
    ),
    "label": (
        "cyberimage label 77b0e412_2 --add holidays",
        "cyberimage label @last --add castle --add draft",
        "cyberimage label 77b0e412_2 --remove draft",
    ),
    "pause": (
        "cyberimage pause",
        "cyberimage pause --json",
        "cyberimage pause && cyberimage watch",
    ),
    "resume": (
        "cyberimage resume",
        "cyberimage resume --json",
        "cyberimage resume && cyberimage watch --until-empty",
    ),
    "retry": (
        "cyberimage retry @last",
        "cyberimage retry 3f9a2c1d",
        "cyberimage retry 3f9a2c1d e05b61aa",
    ),
    "jobs": (
        "cyberimage jobs",
        "cyberimage jobs --status failed",
        "cyberimage jobs --status completed --limit 100 | cut -f 1",
    ),
    "show": (
        "cyberimage show @last",
        "cyberimage show 77b0e412_2",
        "cyberimage show 3f9a2c1d --json",
    ),
    "gallery": (
        "cyberimage gallery",
        'cyberimage gallery --search "red house"',
        "cyberimage gallery --all | wc -l",
    ),
    "download": (
        "cyberimage download 77b0e412_2 -o house.webp",
        "cyberimage download @last e05b61aa -o pictures/",
        "cyberimage download --search castle -o castles/",
    ),
    "delete": (
        "cyberimage delete 77b0e412_2",
        "cyberimage delete 77b0e412_1 77b0e412_2 --yes",
        'cyberimage delete --search "first try"',
    ),
    "models": (
        "cyberimage models",
        "cyberimage models | cut -f 1",
        "cyberimage models --json",
    ),
    "queue": (
        "cyberimage queue",
        "cyberimage queue --detailed",
        "cyberimage queue --json",
    ),
    "watch": (
        "cyberimage watch",
        "cyberimage watch --until-empty",
        "cyberimage watch --json",
    ),
    "mcp": (
        "cyberimage mcp",
        "cyberimage mcp --http 8765",
        "cyberimage mcp --url http://gpu:5050",
    ),
    "reset-queue": (
        "cyberimage reset-queue",
        "cyberimage reset-queue --json",
        "cyberimage reset-queue --url http://pictures.example:5050",
    ),
    "login": (
        "cyberimage login",
        "cyberimage login https://pictures.example",
        "cyberimage login https://pictures.example < key.txt",
    ),
    "logout": (
        "cyberimage logout",
        "cyberimage logout --json",
        "cyberimage logout && cyberimage login",
    ),
    "completion": (
        "cyberimage completion bash > ~/.local/share/bash-completion/completions/cyberimage",
        "cyberimage completion zsh > ~/.zfunc/_cyberimage",
        "cyberimage completion fish > ~/.config/fish/completions/cyberimage.fish",
    ),
}
