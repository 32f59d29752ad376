import assert from "node:assert/strict";
import { test } from "node:test";

import * as areas from "../../../depixel/web/page/areas.js";

const box = { x: 10, y: 20, width: 30, height: 40 }, picture = { width: 100, height: 100 };

test("an area is named by its place, its block and what its first blocks lack", () => {
  assert.equal(areas.textOf(areas.areaOf(box)), "10,20,30,40");
  assert.equal(areas.textOf(areas.areaTold(areas.areaOf(box), "1,2,3,4,16x8,5,6")), "1,2,3,4,16x8,5,6");
});

test("a shape is sent only while the area is where it was found", () => {
  const found = areas.areaFound({ ...box, offset_x: 0, offset_y: 0, area: "10,20,30,40,8", mask: "abc", certain: true });
  assert.deepEqual(areas.queryOf([found, areas.areaOf(box)]).mask, ["abc", ""]);
  assert.equal(areas.queryOf([areas.moved(found, 1, 0, picture)]).mask, undefined);
});

test("an area stays in the picture when it is moved", () => {
  const { x, y } = areas.moved(areas.areaOf(box), -50, 500, picture);
  assert.deepEqual([x, y], [0, 60]);
});

test("each handle moves its own sides, and none passes the other", () => {
  const area = areas.areaOf(box), to = { x: 15, y: 25 };
  const sides = areas.HANDLES.map((handle) => areas.textOf(areas.resized(area, handle, to)));
  assert.deepEqual(sides, ["15,25,25,35", "10,25,30,35", "10,25,5,35", "15,20,25,40", "10,20,5,40", "15,20,25,5", "10,20,30,5", "10,20,5,5"]);
  assert.equal(areas.textOf(areas.resized(area, { along: 0, down: 0 }, { x: 90, y: 90 })), "38,58,2,2");
});

test("blocks begin at a new corner, and stay if the corner does", () => {
  const area = areas.areaTold(areas.areaOf(box), "10,20,30,40,8,3,3");
  assert.equal(areas.resized(area, { along: 0, down: 0.5 }, { x: 12, y: 0 }).offset, null);
  assert.deepEqual(areas.resized(area, { along: 1, down: 1 }, { x: 50, y: 70 }).offset, ["3", "3"]);
});

test("two fields say the sides of a block", () => {
  assert.deepEqual([["8", ""], ["8", "8"], ["16", "8"], ["25/3", "7.5"], ["", "8"], ["many", ""]].map((texts) => areas.blockOf(...texts)),
    ["8", "8", "16x8", "25/3x7.5", null, null]);
  assert.deepEqual(areas.sidesOf(areas.areaOf(box, "16x8")), { wide: "16", high: "8" });
});

test("likeness is the share in common", () => {
  assert.equal(areas.likeness(box, box), 1);
  assert.equal(areas.likeness(box, { ...box, x: 25 }), 1 / 3);
  assert.equal(areas.likeness(box, { ...box, x: 90 }), 0);
});
