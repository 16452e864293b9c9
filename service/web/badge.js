// Shows the badges of sellers: <span data-sellertrust-badge data-marketplace="acme" data-seller="s-1"></span>
// A seller without a badge shows nothing, and so does a badge that cannot be had. No style, no cookie, no other script.
(() => {
  const base = new URL("badge/", document.currentScript.src);
  const show = async (place) => {
    const { marketplace, seller } = place.dataset;
    if (!marketplace || !seller) return;
    const language = place.closest("[lang]")?.lang || navigator.language;
    const url = (form) =>
      new URL(`${encodeURIComponent(marketplace)}/${encodeURIComponent(seller)}.${form}?lang=${encodeURIComponent(language)}`, base);
    const response = await fetch(url("json"), { credentials: "omit", signal: AbortSignal.timeout(5000) });
    const { label } = await response.json(); // a refusal has none
    const shown = { alt: label, referrerPolicy: "no-referrer", src: url("svg") };
    place.replaceChildren(...(label ? [Object.assign(new Image(), shown)] : []));
  };
  const showAll = () => document.querySelectorAll("[data-sellertrust-badge]").forEach((place) => show(place).catch(() => {}));
  window.sellertrustBadges = showAll; // call it again when the cart has changed
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", showAll);
  else showAll();
})();
