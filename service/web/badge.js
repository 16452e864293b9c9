// Shows the badges of sellers: <span data-sellertrust-badge data-marketplace="acme" data-seller="s-1"></span>
// Optional: data-size="16", "20" or "24"; data-form="mark"; data-theme="light" or "dark" (else by the colour of the text).
// Each place is as large as its badge from the start, so nothing shifts. A seller without a badge shows nothing, and so does
// a badge that cannot be had. No cookie, no other script.
(() => {
  const root = new URL(".", document.currentScript.src);
  const widths = { en: { 16: 176, 20: 204, 24: 232 }, zh: { 16: 96, 20: 112, 24: 128 } };
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const look = (place) => {
    const { marketplace, seller, form = "label", size = "20" } = place.dataset;
    const tag = (place.closest("[lang]")?.lang || navigator.language).toLowerCase();
    const lang = /^zh\b/.test(tag) ? "zh" : "en";
    const [red, green, blue] = getComputedStyle(place).color.match(/[\d.]+/g).map(Number);
    const theme = place.dataset.theme || (red + green + blue > 382 ? "dark" : "light");
    const width = form === "mark" ? Number(size) : widths[lang][size];
    return { place, marketplace, seller, lang, size, theme, form, width };
  };
  const keep = ({ place, size, width }) =>
    Object.assign(place.style, { display: "inline-block", width: `${width}px`, height: `${size}px`, verticalAlign: `${-size / 4}px` });
  const draw = ({ place, seller, lang, size, theme, form, width }, found) => {
    if (place.dataset.seller !== seller) return; // the cart has changed meanwhile
    if (!found) return place.replaceChildren();
    const query = new URLSearchParams({ lang, size, theme, form });
    const link = Object.assign(document.createElement("a"), { href: new URL(found.page, root), target: "_blank", rel: "noopener" });
    link.dataset.seller = seller;
    const picture = { alt: found.label, width, height: size, referrerPolicy: "no-referrer" };
    link.append(Object.assign(new Image(), picture, { src: new URL(`picture/${found.badge}.svg?${query}`, root) }));
    for (const one of [link, link.firstChild]) one.style.display = "block";
    place.replaceChildren(link);
  };
  const ask = async (looks) => {
    const query = new URLSearchParams({ lang: looks[0].lang });
    for (const seller of new Set(looks.map((one) => one.seller))) query.append("seller", seller);
    const url = new URL(`badge/${encodeURIComponent(looks[0].marketplace)}.json?${query}`, root);
    const response = await fetch(url, { credentials: "omit", signal: AbortSignal.timeout(5000) });
    const { badges } = await response.json(); // a refusal has none
    for (const one of looks) draw(one, badges && Object.hasOwn(badges, one.seller) ? badges[one.seller] : null);
  };
  const showAll = () => {
    const groups = new Map();
    for (const one of [...document.querySelectorAll("[data-sellertrust-badge]")].map(look)) {
      const { place, marketplace, seller, lang } = one;
      if (place.firstChild?.dataset?.seller !== seller) place.replaceChildren();
      if (!marketplace || !/^[\w.~:-]{1,128}$/.test(seller) || !one.width) continue;
      keep(one);
      const key = `${lang} ${marketplace}`;
      groups.set(key, [...(groups.get(key) || []), one]);
    }
    for (const group of groups.values()) while (group.length) ask(group.splice(0, 50)).catch(() => {});
  };
  window.sellertrustBadges = showAll; // call it again when the cart has changed
  dark.addEventListener("change", showAll);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", showAll);
  else showAll();
})();
