"""How the demo model is made: painter, captions, text encoder, autoencoder, denoiser."""
