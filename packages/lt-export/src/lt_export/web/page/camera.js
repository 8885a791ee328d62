// The camera, as a stream that a video element shows.

import { readPixels } from "./pixels.js";

const REASONS = {
  NotAllowedError: "The browser or the user did not allow the camera.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use by another program.",
};

/** Shows the camera in `video`; throws an Error that says why it cannot. */
export async function startCamera(video) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the camera only to pages served over https or from localhost.");
  }
  try {
    // On a phone the camera at its back; elsewhere whichever there is.
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera cannot be used: ${error.message}`, { cause: error });
  }
  await video.play();
}

export function stopCamera(video) {
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

/** What the camera sees now, as an image {data, height, width, channels}. */
export function readFrame(video, channels) {
  return readPixels(video, video.videoWidth, video.videoHeight, channels);
}
