import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../../../depixel/web/page/history.js";

test("what was undone can be redone, until something else is done", () => {
  const history = new History();
  history.note("a");
  history.note("b");
  assert.equal(history.undo("c"), "b");
  assert.equal(history.undo("b"), "a");
  assert.equal(history.undo("a"), "a");
  assert.equal(history.redo("a"), "b");
  history.note("b");
  assert.ok(history.undoable && !history.redoable);
});
