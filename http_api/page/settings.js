// The settings that the bar has fields for, in order: a new one is added here. `min`, `max` and `step` are numbers, or
// the name of the model's limit that holds the number; a setting with `isFact` is shown with the pictures, too. `control`
// names a part of the page that is the field; the others get one in the drawer.
export const SETTINGS = [
  { name: "num_images", label: "Pictures", min: 1, max: 8, step: 1, control: "counts" },
  { name: "width", label: "Width", min: "min_side", max: "max_side", step: "size_multiple" },
  { name: "height", label: "Height", min: "min_side", max: "max_side", step: "size_multiple" },
  { name: "num_inference_steps", label: "Steps", min: 1, max: "max_steps", step: 1, isFact: true, hint: "More take longer, and draw finer." },
  { name: "guidance_scale", label: "Guidance", min: 0, max: "max_guidance_scale", step: 0.1, isFact: true, hint: "How closely to follow the words." },
];
