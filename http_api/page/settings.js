// The settings that the form has fields for, in order: a new one is added here. `min`, `max` and `step` are numbers, or
// the name of the model's limit that holds the number; a setting with `isFact` is shown with the pictures, too.
export const SETTINGS = [
  { name: "num_images", label: "Images", min: 1, max: 8, step: 1 },
  { name: "num_inference_steps", label: "Steps", min: 1, max: "max_steps", step: 1, isFact: true },
  { name: "width", label: "Width", min: "min_side", max: "max_side", step: "size_multiple" },
  { name: "height", label: "Height", min: "min_side", max: "max_side", step: "size_multiple" },
  { name: "guidance_scale", label: "Guidance", min: 0, max: "max_guidance_scale", step: 0.1, isFact: true },
];
