/* Opened from a folder, a page may start no Worker, and the search runs in one: here an iframe does its work. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow, base = new URL(url, location);
      const load = address => new Promise((done, fail) => {
        const script = inside.document.createElement("script");
        Object.assign(script, {src: new URL(address, base), onload: done, onerror: fail});
        inside.document.body.append(script);
      });
      const tell = (target, data) => setTimeout(() => target.dispatchEvent(new MessageEvent("message", {data})));
      inside.importScripts = (...addresses) => addresses.reduce((last, one) => last.then(() => load(one)), Promise.resolve());
      inside.postMessage = data => tell(this, data);
      const ready = load(base);
      this.postMessage = data => ready.then(() => tell(inside, data));
      this.terminate = () => frame.remove();
      this.addEventListener("message", event => this.onmessage && this.onmessage(event));
    }
  };
}
