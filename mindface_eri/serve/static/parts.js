// SPDX-License-Identifier: Apache-2.0
// What files and the camera both show.

export const $ = (selector, within = document) => within.querySelector(selector);

/** A list of bars, one an emotion; gives the function that sets them. */
export function bars(list, emotions) {
  list.replaceChildren();
  const rows = emotions.map((name) => {
    const item = document.createElement("li");
    const parts = ["name", "track", "value"].map((kind) => {
      const part = document.createElement("span");
      part.className = kind;
      item.append(part);
      return part;
    });
    parts[0].textContent = name;
    const fill = document.createElement("span");
    fill.className = "fill";
    parts[1].append(fill);
    list.append(item);
    return (value) => {
      fill.style.width = `${100 * Math.min(Math.max(value, 0), 1)}%`;
      parts[2].textContent = value.toFixed(2);
    };
  });
  return (values) => emotions.forEach((name, i) => rows[i](values[name] ?? 0));
}

/** The sentence of an answer that is none. */
export async function reason(response) {
  try {
    return (await response.json()).detail || response.statusText;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}
