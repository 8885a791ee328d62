// The list of classes: thousands of names are found by typing, not by scrolling.

const MOST_SHOWN = 200;

/** Fills `list` with the classes whose name or ID has what is typed into `field`; `count` says how many there are. */
export function showClasses(classes, { field, list, count }) {
  const show = () => {
    const wanted = fold(field.value.trim());
    const found = classes.filter(({ id, name }) => fold(name).includes(wanted) || id === wanted);
    list.replaceChildren(...found.slice(0, MOST_SHOWN).map(item));
    const hint = found.length > MOST_SHOWN ? `, the first ${MOST_SHOWN} are shown; type a part of a name` : "";
    count.textContent = `${found.length} of ${classes.length}${hint}`;
  };
  field.addEventListener("input", show);
  show();
}

function item({ id, name }) {
  const row = document.createElement("li");
  const number = Object.assign(document.createElement("span"), { className: "quiet", textContent: id });
  row.append(number, ` ${name}`);
  return row;
}

function fold(text) {
  return text.normalize("NFKC").toLowerCase();
}
