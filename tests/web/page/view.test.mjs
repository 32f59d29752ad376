import assert from "node:assert/strict";
import { test } from "node:test";

import { View } from "../../../depixel/web/page/view.js";

function view() {
  const made = new View();
  made.picture = { width: 200, height: 100 };
  made.canvas = { width: 400, height: 400 };
  made.showBox(null);
  return made;
}

test("the whole picture is in the middle", () => {
  const one = view();
  assert.equal(one.scale, 2);
  assert.deepEqual(one.onCanvas({ x: 0, y: 0 }), { x: 0, y: 100 });
});

test("a place stays where it is while the picture is enlarged around it", () => {
  const one = view(), at = { x: 100, y: 200 }, before = one.inPicture(at);
  one.zoom(4, at);
  assert.equal(one.scale, 8);
  assert.deepEqual(one.inPicture(at), before);
});

test("nobody gets lost", () => {
  const one = view();
  one.zoom(8);
  one.pan(1e6, 1e6);
  assert.deepEqual(one.inPicture({ x: 400, y: 400 }), { x: 200, y: 100 });
  assert.deepEqual(one.inPicture({ x: 1e6, y: -1e6 }), { x: 200, y: 0 });
});
