// The page: takes images, shows labels.

import { readFrame, startCamera, stopCamera } from "./camera.js";
import { showClasses } from "./classes.js";
import { loadClassifier } from "./classifier.js";
import { readImage } from "./pixels.js";
import { selectLabels } from "./scores.js";

const FRAME_MILLISECONDS = 250; // at least, between two frames of the camera
const TOPK = 5;

const page = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (element) => [element.id, element]));
let classifier;
let shown; // the result on the page: {scores, preprocessing, running}
let newest = 0; // what was asked for last; older answers are dropped

start();

async function start() {
  try {
    classifier = await loadClassifier(showProgress);
  } catch (error) {
    return showError(`The model could not be loaded: ${error.message}`);
  } finally {
    page.loading.hidden = true;
  }
  describeModel();
  listen();
  page.controls.disabled = false;
  return showStatus("Ready.");
}

function listen() {
  page.file.addEventListener("change", () => {
    if (page.file.files.length) classifyFile(page.file.files[0]);
    page.file.value = ""; // so that the same file can be chosen again
  });
  page.camera.addEventListener("click", () => (isCameraOn() ? endCamera() : runCamera()));
  page.selftest.addEventListener("click", runSelftest);
  for (const control of [page.topk, page.threshold, page.fitted]) control.addEventListener("input", showLabels);
  listenForDrops();
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) classifyFile(clipboardData.files[0]);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && isCameraOn()) endCamera();
  });
}

/** The whole page takes drops: a near miss must not make the browser open the file instead. */
function listenForDrops() {
  const mark = (isOver) => page.drop.classList.toggle("over", isOver);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => mark(relatedTarget !== null));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    if (event.dataTransfer.files.length) classifyFile(event.dataTransfer.files[0]);
    else showError("That was no file. Drop an image file, not a part of another page.");
  });
}

async function classifyFile(file) {
  endCamera();
  const number = ++newest;
  showStatus(`Classifying ${file.name} …`);
  clearResult();
  try {
    const image = await readImage(file, classifier.model.preprocessing.num_channels);
    const result = await classifier.classify(image);
    if (number !== newest) return;
    showPreview(file);
    showResult(result);
    showStatus(`${file.name}: ${summary()}`);
  } catch (error) {
    if (number === newest) showError(`${file.name}: ${error.message}`);
  }
}

async function runCamera() {
  const number = ++newest;
  clearResult();
  try {
    await startCamera(page.video);
    showCamera(true);
    showStatus("The camera is on.");
    while (number === newest && isCameraOn()) {
      const began = performance.now();
      const result = await classifier.classify(await readFrame(page.video, classifier.model.preprocessing.num_channels));
      if (number === newest && isCameraOn()) showResult(result);
      const rest = FRAME_MILLISECONDS - (performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest)));
    }
  } catch (error) {
    if (number === newest) {
      endCamera();
      showError(error.message);
    }
  }
}

function endCamera() {
  if (!isCameraOn()) return;
  newest++;
  stopCamera(page.video);
  showCamera(false);
  showStatus("The camera is off.");
}

function isCameraOn() {
  return page.video.srcObject !== null;
}

function showCamera(isOn) {
  page.video.hidden = !isOn;
  page.camera.textContent = isOn ? "Stop camera" : "Use camera";
  if (isOn) hidePreview();
}

async function runSelftest() {
  page.selftest.disabled = true;
  page.verdict.textContent = "Running …";
  try {
    const { passed, images, difference, limit } = await classifier.selftest();
    const found = `${images} images, largest score difference ${difference.toExponential(1)}, limit ${limit}`;
    page.verdict.textContent = `${passed ? "Passed" : "FAILED"}: ${found}.`;
    page.verdict.dataset.passed = passed;
  } catch (error) {
    page.verdict.textContent = `Not done: ${error.message}`;
    page.verdict.dataset.passed = false;
  } finally {
    page.selftest.disabled = false;
  }
}

function showResult(result) {
  shown = result;
  page.result.hidden = false;
  page.times.textContent = `Preprocessing ${milliseconds(result.preprocessing)}, model ${milliseconds(result.running)}`;
  showLabels();
}

/** Hides the last result, so that it is never taken for that of another image. */
function clearResult() {
  shown = undefined;
  page.result.hidden = true;
  hidePreview();
}

function showLabels() {
  page.threshold.disabled = page.fitted.checked;
  page.shownthreshold.textContent = page.fitted.checked ? "" : percent(Number(page.threshold.value));
  if (!shown) return;
  const labels = chosenLabels();
  page.labels.replaceChildren(...labels.map(labelItem));
  page.none.hidden = labels.length > 0;
}

function chosenLabels() {
  const topk = Math.max(1, Math.trunc(Number(page.topk.value)) || 1);
  const threshold = page.fitted.checked ? "auto" : Number(page.threshold.value);
  return selectLabels(shown.scores, classifier.model, { topk, threshold });
}

function labelItem({ id, name, score }) {
  const item = page.label.content.firstElementChild.cloneNode(true);
  item.dataset.label = id;
  item.dataset.score = score;
  item.querySelector(".name").textContent = name;
  item.querySelector(".score").textContent = percent(score);
  item.querySelector(".bar").style.inlineSize = `${score * 100}%`;
  return item;
}

/** For those who hear the page instead of seeing it. */
function summary() {
  const chosen = chosenLabels();
  const labels = classifier.model.task === "multilabel" ? chosen : chosen.slice(0, 1);
  return labels.length ? labels.map(({ name, score }) => `${name} ${percent(score)}`).join(", ") : "no class";
}

function showPreview(file) {
  page.preview.src = URL.createObjectURL(file);
  page.preview.alt = file.name;
  page.preview.hidden = false;
}

function hidePreview() {
  if (page.preview.src) URL.revokeObjectURL(page.preview.src);
  page.preview.removeAttribute("src");
  page.preview.hidden = true;
}

function describeModel() {
  const { model, threads } = classifier;
  const { image_size: size, num_channels: channels, resize_mode: mode } = model.preprocessing;
  const isMultilabel = model.task === "multilabel";
  page.topk.max = model.classes.length;
  page.topk.value = Math.min(TOPK, model.classes.length);
  page.fortopk.hidden = isMultilabel;
  page.forthreshold.hidden = !isMultilabel;
  page.forfitted.hidden = model.thresholds === null;
  page.fitted.checked = false; // browsers may restore what another model was asked
  showLabels();
  const facts = {
    Task: model.task,
    Classes: model.classes.length,
    Input: `${size[0]} × ${size[1]} pixels, ${{ 1: "grey", 3: "RGB", 4: "RGBA" }[channels]}, ${mode}`,
    Precision: model.precision,
    "Exported by": model.producer,
    "Run by": `${model.runtime}, ${threads} ${threads === 1 ? "thread" : "threads"}`,
  };
  const rows = Object.entries(facts).flatMap(([term, value]) => [element("dt", term), element("dd", value)]);
  page.facts.replaceChildren(...rows);
  showClasses(model.classes, { field: page.find, list: page.classes, count: page.found });
}

function showProgress({ what, loaded, total, starting }) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  if (total) Object.assign(page.loading, { max: total, value: loaded });
  else page.loading.removeAttribute("value"); // nobody says how much there is
  if (starting) showStatus("Loading is done, the model starts …");
  else showStatus(`Loading ${what}: ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ""} MB`);
}

function showStatus(text) {
  page.status.textContent = text;
  page.status.classList.remove("error");
}

function showError(text) {
  page.status.textContent = text;
  page.status.classList.add("error");
}

function element(kind, text) {
  return Object.assign(document.createElement(kind), { textContent: text });
}

function percent(score) {
  return `${(score * 100).toFixed(1)}\u00a0%`;
}

function milliseconds(time) {
  return `${time.toFixed(1)} ms`;
}
