// Calls functions of the page's modules for the tests: one JSON object a line in, one out.

import readline from "node:readline";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { module, name, arguments: values } = JSON.parse(line);
  try {
    const functions = await import(new URL(module, folder));
    console.log(JSON.stringify({ result: toJson(functions[name](...values.map(fromJson))) }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}

// Typed arrays travel as {base64}, alone or as the data of an image.
function fromJson(value) {
  if (value?.base64 !== undefined) return new Uint8Array(Buffer.from(value.base64, "base64"));
  return value?.data ? { ...value, data: fromJson(value.data) } : value;
}

function toJson(value) {
  if (ArrayBuffer.isView(value)) {
    return { base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  return value?.data ? { ...value, data: toJson(value.data) } : value;
}
