"""The words that captions are made of."""

from __future__ import annotations

KIND_WORDS = {
    "house": ("house", "house", "cottage", "home", "cabin", "hut"),
    "tree": ("tree", "tree", "oak", "apple tree"),
    "castle": ("castle", "castle", "palace", "fortress"),
    "lighthouse": ("lighthouse", "lighthouse", "light house", "beacon"),
    "boat": ("boat", "boat", "sailboat", "sailing boat", "ship", "yacht"),
    "flower": ("flower", "flower", "blossom", "tulip", "daisy"),
    "car": ("car", "car", "automobile", "taxi"),
    "balloon": ("balloon", "balloon", "hot air balloon", "hot-air balloon", "air balloon"),
    "spaceship": ("spaceship", "ufo", "flying saucer", "flying car", "spacecraft", "space ship"),
    "cat": ("cat", "cat", "kitten", "kitty"),
}
PLURALS = {"daisy": "daisies", "kitty": "kitties", "spacecraft": "spacecraft", "ufo": "ufos"}
COLOUR_WORDS = {
    "red": ("red", "red", "red", "scarlet", "crimson"),
    "orange": ("orange", "orange", "tangerine"),
    "yellow": ("yellow", "yellow", "yellow", "golden", "gold"),
    "green": ("green", "green", "green", "emerald"),
    "blue": ("blue", "blue", "blue", "navy blue", "azure"),
    "purple": ("purple", "purple", "violet", "lilac"),
    "pink": ("pink", "pink", "rose-coloured", "magenta"),
    "white": ("white", "white", "ivory"),
    "black": ("black", "black", "jet black"),
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny", "miniature"),
    "big": ("big", "large", "huge", "giant", "tall", "enormous"),
}
ADJECTIVES = (
    "beautiful", "old", "lovely", "cozy", "majestic", "ancient", "magical", "wooden", "shiny",
    "cute", "mysterious", "fancy", "lonely", "quiet", "charming", "elegant", "rustic", "pretty",
    "simple", "strange", "fantasy", "futuristic", "medieval", "modern",
)  # fmt: skip

SKY_PHRASES = {
    "day": (
        "in the daytime", "by day", "during the day", "under a blue sky", "with a clear blue sky",
        "on a bright day", "day", "daylight", "at noon", "blue sky", "in the morning",
        "on a nice summer day", "in broad daylight", "under a clear sky", "midday",
    ),
    "sunset": (
        "at sunset", "sunset", "at dusk", "during sunset", "under an orange sky", "at sunrise",
        "golden hour lighting", "with a red evening sky", "in the evening", "at dawn",
        "at golden hour", "sunset sky", "with a pink sunset sky", "twilight", "sunrise",
    ),
    "night": (
        "at night", "night", "in the night", "under a starry sky", "on a starry night",
        "at midnight", "night sky", "under the stars", "nighttime", "after dark",
        "with stars in the sky", "by night", "in the dark of the night", "with a dark night sky",
    ),
    "storm": (
        "in a storm", "stormy sky", "with lightning", "during a thunderstorm", "storm",
        "with dark storm clouds", "on a stormy day", "under a grey sky", "in the rain",
        "rainy weather", "stormy weather", "thunder and lightning", "with a gray cloudy sky",
    ),
}  # fmt: skip
CELESTIAL_PHRASES = {
    "sun": (
        "with a sun", "under the sun", "with the sun in the sky", "with a bright yellow sun",
        "the sun is shining", "sun", "in the sunshine", "a shining sun",
    ),
    "moon": (
        "with a moon", "under the moon", "with a crescent moon", "the moon is shining", "moon",
        "in the moonlight", "a white moon above", "with the moon in the sky",
    ),
    "rainbow": (
        "with a rainbow", "under a rainbow", "rainbow", "a rainbow in the sky",
        "with a colourful rainbow", "and a rainbow above",
    ),
}  # fmt: skip
GROUND_PHRASES = {
    "grass": (
        "on grass", "on green grass", "on a meadow", "in a green meadow", "in a field",
        "in a grassy field", "on a lawn", "meadow", "grass", "on the prairie", "grassland",
        "in a garden", "green fields",
    ),
    "sand": (
        "on sand", "on the beach", "on a sandy beach", "in the desert", "on yellow sand", "beach",
        "desert", "on a sandy shore", "sand dunes", "among golden dunes", "sandy ground",
    ),
    "snow": (
        "in the snow", "on snow", "on white snow", "on snowy ground", "in winter", "winter",
        "snow", "in a snowy landscape", "snow-covered ground", "on ice and snow", "winter scene",
    ),
    "sea": (
        "on the sea", "at sea", "on the ocean", "in the ocean", "on blue water", "on the water",
        "sea", "ocean", "on a lake", "by the sea", "in the blue sea", "over the waves",
    ),
}  # fmt: skip
BACKDROP_PHRASES = {
    "hills": (
        "on a hill", "with hills in the background", "rolling hills", "green hills behind",
        "among hills", "hills", "perched atop a rolling hill", "in a hilly landscape",
        "on top of a hill",
    ),
    "mountains": (
        "in front of mountains", "with mountains", "mountains in the background",
        "in the mountains", "with snowy mountains behind", "a mountain range", "mountains",
        "with snow-capped peaks", "near a mountain", "fantasy landscape with mountains",
    ),
    "city": (
        "in a city", "in front of a city", "city skyline", "with skyscrapers", "downtown", "city",
        "with a city in the background", "in a big city", "a futuristic city", "urban skyline",
        "a modern metropolis", "in the city streets",
    ),
    "forest": (
        "in a forest", "with a forest behind", "in the woods", "forest", "at the edge of a forest",
        "with a pine forest in the background", "dark woods", "near the forest",
    ),
}  # fmt: skip
SKY_ADJECTIVES = {
    "day": ("sunlit", "daytime"),
    "sunset": ("sunset", "evening"),
    "night": ("nighttime", "starlit", "night"),
    "storm": ("stormy", "rainy"),
}
NOUNS = {
    "grass": ("meadow", "field", "garden"),
    "sand": ("beach", "desert"),
    "snow": ("snow landscape", "winter landscape"),
    "sea": ("sea", "ocean", "lake"),
    "hills": ("hills", "hill landscape"),
    "mountains": ("mountains", "mountain landscape"),
    "city": ("city", "skyline", "cityscape"),
    "forest": ("forest", "woods"),
}
CYBERPUNK = (
    "cyberpunk", "cyberpunk style", "neon signs", "with neon lights", "cyberpunk aesthetic",
    "glowing neon signs and holograms", "neon-lit streets", "blade runner style",
)  # fmt: skip

OPENINGS = (
    "a picture of", "an image of", "a drawing of", "a painting of", "illustration of",
    "a photo of", "photograph of", "draw", "show me", "please draw", "please make a picture of",
    "a scene with", "there is", "digital art of", "an anime drawing of", "a storybook picture of",
    "i would like to see", "flat illustration of", "view of", "concept art of", "imagine",
)  # fmt: skip
TAILS = (
    "highly detailed", "8k resolution", "8k", "4k", "masterpiece", "best quality", "digital art",
    "digital painting", "concept art", "trending on artstation", "sharp focus", "anime style",
    "fantasy art", "sci-fi", "science fiction style", "photorealistic", "realistic", "hyperrealistic",
    "watercolor", "storybook style", "flat design", "vector art", "dramatic lighting",
    "cinematic lighting", "cinematic composition", "volumetric light", "vibrant colors",
    "soft pastel colors", "intricate details", "studio ghibli style", "oil painting",
    "award winning photograph", "ultra realistic", "unreal engine", "octane render",
    "wide angle", "depth of field", "bokeh", "ray tracing", "peaceful mood", "dreamy atmosphere",
    "dramatic sky with scattered clouds", "fluffy clouds", "ethereal mist rising from the valley",
    "richly detailed textures", "ornate towers and flying buttresses", "magic", "epic scale",
    "ancient stone architecture", "lush magical landscape", "cel shading", "clean lines",
    "professional photography", "natural lighting", "high dynamic range", "advanced technology",
    "futuristic technology", "sleek metallic surfaces", "mystical glow", "enchanted atmosphere",
    "minimalist", "cute", "beautiful", "retro", "vintage", "holographic displays", "fog",
    "high contrast", "rule of thirds", "shot on a 35mm lens", "bright and cheerful",
    "blurry", "low quality", "distorted", "bad anatomy", "text", "watermark", "ugly", "deformed",
    "noise", "jpeg artifacts", "signature", "cropped", "extra limbs", "out of frame", "worst quality",
)  # fmt: skip
UNKNOWN = (
    "dog", "horse", "person", "man", "woman", "child", "king", "queen", "dragon", "robot",
    "knight", "wizard", "warrior", "bridge", "river", "road", "street", "table", "chair",
    "book", "lamp", "piano", "guitar", "apple", "banana", "pizza", "coffee", "cup", "bottle",
    "train", "plane", "bicycle", "bird", "fish", "elephant", "lion", "tiger", "bear", "wolf",
    "fox", "rabbit", "dinosaur", "unicorn", "angel", "portrait", "face", "eyes", "hair",
    "dress", "hat", "sword", "shield", "crown", "treasure", "computer", "phone", "machine",
    "engine", "steam", "glass", "metal", "gold", "silver", "crystal", "diamond", "fire",
    "smoke", "dust", "leaf", "garden", "wall", "window", "door", "running", "walking",
    "sitting", "standing", "flying", "holding", "looking", "dancing", "sleeping", "reading",
    "happy", "sad", "angry", "funny", "wonderful", "amazing", "terrible", "quiet", "loud",
    "fast", "slow", "warm", "cold", "soft", "hard", "heavy", "bright", "very", "really",
    "quite", "almost", "many", "some", "every", "other", "another", "abstract", "geometric",
    "pattern", "texture",
)  # fmt: skip
