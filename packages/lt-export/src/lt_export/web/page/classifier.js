// The page's side of worker.js: calls become promises.

/** Starts the worker; `onProgress` hears what it says while it loads. Gives {model, threads, …}. */
export async function loadClassifier(onProgress) {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let count = 0;

  function call(name, argument, transferred = []) {
    return new Promise((resolve, reject) => {
      const id = count++;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, call: name, argument }, transferred);
    });
  }

  worker.onmessage = ({ data: { id, result, error, progress } }) => {
    if (progress) return onProgress(progress);
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    return error === undefined ? resolve(result) : reject(new Error(error));
  };
  // A worker that cannot be started, or is out of memory, answers nothing.
  worker.onerror = (event) => {
    event.preventDefault();
    waiting.forEach(({ reject }) => reject(new Error(event.message ?? "the model's worker could not be started")));
    waiting.clear();
  };

  return {
    ...(await call("load")),
    /** Scores and times of an image, whose data moves to the worker. */
    classify: (image) => call("classify", image, [image.data.buffer]),
    selftest: () => call("selftest"),
  };
}
