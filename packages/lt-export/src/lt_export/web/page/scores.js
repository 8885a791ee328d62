// What scores mean: the labels that a user asked for, and whether two runtimes agree.

const MULTILABEL_THRESHOLD = 0.5; // as in lt_export.agreement

/**
 * Classes {id, name, score}, best first: the `topk` best, or of a multilabel model those above `threshold`, which is a
 * number, or "auto" for the model's own of each class.
 */
export function selectLabels(scores, model, { topk, threshold }) {
  const isAbove = (score, i) => score > Math.fround(threshold === "auto" ? model.thresholds[i] : threshold);
  const all = model.classes.map(({ id, name }, i) => ({ id, name, score: scores[i] }));
  const chosen = model.task === "multilabel" ? all.filter(({ score }, i) => isAbove(score, i)) : all;
  chosen.sort((a, b) => b.score - a.score); // a stable sort, so ties keep the order of the model's outputs
  return model.task === "multilabel" ? chosen : chosen.slice(0, topk);
}

/** How the scores of the same images compare: {difference, agreement, images, passed}. */
export function compareScores(found, expected, model) {
  const { limits, task } = model;
  const differences = found.flatMap((row, i) => Array.from(row, (score, k) => Math.abs(score - expected[i][k])));
  const same = found.filter((row, i) => hasSameLabels(row, expected[i], task, limits.difference)).length;
  const difference = Math.max(...differences); // NaN where a score is not finite, and NaN does not pass
  const agreement = same / expected.length;
  const passed = difference <= limits.difference && agreement >= limits.agreement;
  return { difference, agreement, images: expected.length, passed };
}

/** Scores nearer to each other than the tolerance count as equal. */
function hasSameLabels(found, expected, task, tolerance) {
  if (task === "multiclass") {
    const best = found.indexOf(Math.max(...found));
    return expected[best] >= Math.max(...expected) - tolerance;
  }
  return expected.every((score, k) => {
    const isNear = Math.abs(score - MULTILABEL_THRESHOLD) <= tolerance;
    return isNear || score > MULTILABEL_THRESHOLD === found[k] > MULTILABEL_THRESHOLD;
  });
}
