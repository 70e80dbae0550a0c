/* Munim's payment page over a shop's own. It is explained in docs/checkout.md. */
(() => {
  "use strict";
  const home = new URL(document.currentScript.src).origin;
  const BOX =
    "position:relative;color-scheme:light dark;width:min(480px,100%);" +
    "height:min(100%,max(760px,(640px - 100vw)*99))";
  const FRAME =
    "width:100%;height:100%;border:0;background:Canvas;" +
    "border-radius:clamp(0px,(100vw - 480px)*99,16px)";
  const OVER =
    "border:0;margin:0;padding:0;width:100%;height:100%;max-width:none;max-height:none;" +
    "background:rgb(12 17 29/.6);display:grid;place-items:center";
  const CLOSE =
    "position:absolute;top:8px;right:8px;width:44px;height:44px;border:0;border-radius:50%;" +
    "background:none;color:CanvasText;font:24px/1 system-ui;cursor:pointer";
  // A gateway's page opens in a tab of its own where there is room, else in place of the shop's.
  const WIDE = "(min-width: 640px) and (min-height: 480px)";
  let shown;

  const make = (name, style, more) => {
    const element = Object.assign(document.createElement(name), more);
    element.style.cssText = style;
    return element;
  };

  const address = ({ url, session, lang, handover }) => {
    const page = new URL(url || `/pay/${encodeURIComponent(session)}`, home);
    if (page.origin !== home) throw new TypeError(`Munim: ${page.origin} is not ${home}`);
    const plain = page.href;
    page.searchParams.set("origin", location.origin);
    page.searchParams.set("in", handover || (matchMedia(WIDE).matches ? "tab" : "top"));
    page.searchParams.set("lang", lang || document.documentElement.lang.slice(0, 2) || "en");
    return { plain, framed: page.href };
  };

  const open = (options) => {
    const { plain, framed } = address(options);
    if (shown) shown.close();
    const isHindi = framed.endsWith("lang=hi");
    const dialog = make("dialog", OVER, { ariaLabel: isHindi ? "भुगतान" : "Payment" });
    const box = make("div", BOX);
    const frame = make("iframe", FRAME, { src: framed, title: dialog.ariaLabel });
    const button = make("button", CLOSE, {
      type: "button",
      textContent: "×",
      ariaLabel: isHindi ? "बंद करें" : "Close",
      onclick: () => dialog.close(),
    });
    // It may lead this window to a gateway's page when the payer clicks, and at no other time.
    frame.setAttribute(
      "sandbox",
      "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox" +
        " allow-top-navigation-by-user-activation",
    );
    const root = document.documentElement;
    const before = root.style.overflow;
    let last;

    const hear = ({ source, origin, data }) => {
      if (source !== frame.contentWindow || origin !== home || !data || !data.munim) return;
      const { close, ...result } = data.munim;
      const isNews = !last || last.status !== result.status || last.seen !== result.seen;
      // How the payer's last visit failed is no news; that nothing can be paid any more is.
      const isTold = result.status === "paid" || (result.status === "failed" && (last || result.final));
      last = result;
      if (isNews && isTold && options.onResult) options.onResult({ ...result });
      if (close) dialog.close();
      else if (result.status === "paid") setTimeout(() => dialog.close(), 2500);
    };
    addEventListener("message", hear);
    dialog.addEventListener("close", () => {
      removeEventListener("message", hear);
      root.style.overflow = before;
      dialog.remove();
      shown = undefined;
      if (options.onClose) options.onClose({ ...last });
    }, { once: true });
    // A page that may not be framed, or does not come, is gone to instead.
    frame.addEventListener("load", () => {
      frame.focus();
      setTimeout(() => last || !dialog.open || location.assign(plain), 2000);
    });

    box.append(frame, button);
    dialog.append(box);
    document.body.append(dialog);
    root.style.overflow = "hidden";
    dialog.showModal();
    return (shown = { close: () => dialog.close() });
  };

  // <a data-munim href="…/pay/…">: a link that goes there by itself where there are no scripts.
  addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[data-munim]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const tell = (name) => (detail) =>
      link.dispatchEvent(new CustomEvent(`munim:${name}`, { bubbles: true, detail }));
    open({ url: link.href, onResult: tell("result"), onClose: tell("close") });
    event.preventDefault();
  });
  window.Munim = { open };
})();
