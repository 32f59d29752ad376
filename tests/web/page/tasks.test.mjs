import assert from "node:assert/strict";
import { test } from "node:test";

import { described, duration } from "../../../depixel/web/page/tasks.js";

const working = { state: "working", ahead: 0, share: 0.256, left: 12.3, areas: [], tables: [] };

test("a task tells what is known of it", () => {
  assert.equal(described("Looking …", null), "Looking …");
  assert.equal(described("Looking …", { ...working, state: "waiting", ahead: 2, share: null }), "Looking … Waiting: 2 before this.");
  assert.equal(described("Looking …", { ...working, state: "uploading", left: null }), "Looking … Sending: 25 %.");
  assert.equal(described("Looking …", { ...working, left: null }), "Looking … 25 %.");
  assert.equal(described("Looking …", working), "Looking … 25 %, 12 s left.");
});

test("a duration is short", () => {
  assert.deepEqual([0.2, 2, 89, 150].map(duration), ["a second", "2 s", "89 s", "3 min"]);
});
