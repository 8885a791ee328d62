// Holds the model, beside the page, which stays responsive meanwhile. Takes {id, call, argument} and answers
// {id, result} or {id, error}; while it loads, {progress: {what, loaded, total}}, then {progress: {starting: true}}.

import * as ort from "./onnxruntime-web/ort.wasm.bundle.min.mjs";
import { preprocess } from "./preprocess.js";
import { probeImage } from "./probes.js";
import { compareScores } from "./scores.js";

const RUNTIME = "onnxruntime-web/ort-wasm-simd-threaded.wasm";
const MAX_THREADS = 4; // more make single images hardly faster
const FORMAT = "lightly-train/web";
const FORMAT_VERSION = 1;

const CALLS = { load, classify, selftest };
let model; // what model.json says
let session;
let turn = Promise.resolve(); // a session runs one batch at a time

self.onmessage = ({ data: { id, call, argument } }) => {
  turn = turn
    .then(() => CALLS[call](argument))
    .then((result) => self.postMessage({ id, result }))
    .catch((error) => self.postMessage({ id, error: error?.message ?? String(error) }));
};

/** Fetches the model and makes a session; gives the description and the number of threads. */
async function load() {
  // Threads share memory, which browsers allow only to pages that are served with two headers; see the documentation.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
  ort.env.logLevel = "error";
  const found = await (await fetchFile("model.json")).json();
  if (found.format !== FORMAT || found.version !== FORMAT_VERSION) {
    throw new Error(`model.json is not of the format ${FORMAT}, version ${FORMAT_VERSION}; write the page anew`);
  }
  ort.env.wasm.wasmBinary = await readWithProgress(await fetchFile(RUNTIME), "the runtime");
  const content = await readWithProgress(await fetchFile("model.onnx"), "the model");
  self.postMessage({ progress: { starting: true } });
  session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  model = found;
  checkSignature();
  return { model, threads: ort.env.wasm.numThreads };
}

/** Scores of an image {data, height, width, channels}, and the times that they took in milliseconds. */
async function classify(image) {
  const began = performance.now();
  const input = model.includes_preprocessing ? image.data : preprocess(image, model.preprocessing);
  const prepared = performance.now();
  const scores = await run(input, image);
  return { scores, preprocessing: prepared - began, running: performance.now() - prepared };
}

/** Compares with the scores that the exporting machine noted; the images are made here. */
async function selftest() {
  const expected = model.reference_scores;
  if (!expected.length) throw new Error("the model has no reference scores; export it anew");
  const found = [];
  for (let number = 0; number < expected.length; number++) {
    const { scores } = await classify(probeImage(model.preprocessing, number));
    found.push(Array.from(scores));
  }
  return { ...compareScores(found, expected, model), limit: model.limits.difference };
}

async function run(input, image) {
  const { num_channels: channels, image_size: size } = model.preprocessing;
  const [type, shape] = model.includes_preprocessing
    ? ["uint8", [image.height, image.width, channels]]
    : ["float32", [channels, ...size]];
  const batch = batchSize();
  // A model of a fixed batch gets zeros for the other images.
  const filled = batch === 1 ? input : new input.constructor(input.length * batch);
  if (batch > 1) filled.set(input);
  const outputs = await session.run({ [model.input]: new ort.Tensor(type, filled, [batch, ...shape]) });
  return outputs[model.output].data.slice(0, model.classes.length);
}

function batchSize() {
  const [batch] = session.inputMetadata[0].shape;
  return typeof batch === "number" ? batch : 1;
}

function checkSignature() {
  const { input, output, classes, includes_preprocessing: isRaw, preprocessing: spec } = model;
  const expected = isRaw ? [spec.num_channels] : [spec.num_channels, ...spec.image_size];
  const shape = session.inputMetadata.length === 1 ? session.inputMetadata[0].shape : [];
  const sizes = shape.slice(isRaw ? 3 : 1);
  const outputs = session.outputMetadata.length === 1 ? session.outputMetadata[0].shape : [];
  const fits = shape.length === 4 && String(sizes) === String(expected) && outputs[1] === classes.length;
  if (String(session.inputNames) !== input || String(session.outputNames) !== output || !fits) {
    throw new Error("model.onnx is not the model that model.json describes; write the page anew");
  }
}

/** Asks the server whether a file has changed, so that a new model never meets an old description. */
async function fetchFile(name) {
  const response = await fetch(new URL(name, import.meta.url), { cache: "no-cache" });
  if (!response.ok) throw new Error(`${name} could not be fetched: ${response.status} ${response.statusText}`);
  return response;
}

async function readWithProgress(response, what) {
  // With a content encoding the length is that of the compressed bytes.
  const total = response.headers.has("Content-Encoding") ? 0 : Number(response.headers.get("Content-Length"));
  const parts = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    self.postMessage({ progress: { what, loaded, total } });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
