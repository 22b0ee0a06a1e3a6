// Draws with OpenAI's library for Node: `node draw.mjs BASE_URL`. Prints what it got as JSON.
import OpenAI, { toFile } from 'openai';

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: 'none' });
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const drawn = await client.images.generate({ model: 'gpt-image-1', prompt: 'a red house', n: 2, size: 'auto', quality: 'low' });
const events = [];
for await (const event of await client.images.generate({ prompt: 'a red house', stream: true, partial_images: 1, output_format: 'webp' })) events.push(event);
const image = await toFile(Buffer.from(drawn.data[0].b64_json, 'base64'), 'house.png', { type: 'image/png' });
const edited = await client.images.edit({ image, prompt: 'a blue house' });
let refused = null;
try {
  await client.images.generate({ prompt: 'a red house', n: 0 });
} catch (error) {
  refused = { name: error.constructor.name, param: error.param };
}
const pictures = [...drawn.data, events.at(-1), ...edited.data].map((it) => it.b64_json);
console.log(JSON.stringify({ models, pictures, events: events.map((event) => event.type), refused }));
