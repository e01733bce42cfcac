/* Marks of found words, by the CSS Highlight API: no element is added. Browsers without it show none. */

const NAME = "found";
const MOST = 500; // marks

/** Mark `words` in the bodies below `root`; "" removes the marks. */
export function mark(root, words) {
  const registry = globalThis.CSS?.highlights;
  if (!registry) return;
  const wanted = words.toLowerCase();
  if (!wanted) return void registry.delete(NAME);
  const ranges = [];
  for (const body of root.querySelectorAll(".body")) {
    const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node && ranges.length < MOST; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      if (text.length !== node.data.length) continue; // a letter whose small form is longer: the places would not fit
      for (let at = text.indexOf(wanted); at >= 0 && ranges.length < MOST; at = text.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + wanted.length);
        ranges.push(range);
      }
    }
  }
  registry.set(NAME, new Highlight(...ranges));
}
