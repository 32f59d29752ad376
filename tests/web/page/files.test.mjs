import assert from "node:assert/strict";
import { test } from "node:test";

import { areaFound, areaOf, gridOf, snapped, textOf } from "../../../depixel/web/page/areas.js";
import { apart, areasRead, areasText, derived, pastedName } from "../../../depixel/web/page/files.js";
import { crc32 } from "../../../depixel/web/page/zip.js";

const box = { x: 10, y: 20, width: 30, height: 40 };

test("names of downloads say what they are", () => {
  assert.equal(derived("my.photo.jpg", "restored", ".png"), "my.photo-restored.png");
  assert.deepEqual(apart(["a.png", "b.png", "a.png", "a.png"]), ["a.png", "b.png", "a-2.png", "a-3.png"]);
  assert.equal(pastedName(new Date(2026, 0, 2, 3, 4, 5)), "screenshot 2026-01-02 03.04.05.png");
});

test("areas are read as they are written", () => {
  const found = areaFound({ ...box, area: "10,20,30,40,25/3x8,2,0", mask: "abc", certain: true, evidence: 9, doubt: null });
  const text = areasText([areaOf(box), areaOf(box, "8"), found]);
  assert.deepEqual(JSON.parse(text), { areas: [[10, 20, 30, 40], [10, 20, 30, 40, 8], [10, 20, 30, 40, "25/3x8", 2, 0]], masks: ["", "", "abc"] });
  assert.deepEqual(areasRead(text).map(textOf), ["10,20,30,40", "10,20,30,40,8", "10,20,30,40,25/3x8,2,0"]);
  assert.equal(textOf(areasRead('{"areas": [{"area": [0, 0, 64, 48], "grid": [8, 6]}]}')[0]), "0,0,64,48,64/8x48/6");
});

test("what is no file of areas is told", () => {
  for (const text of ["", "[]", "{}", '{"areas": [[1, 2, 3]]}', '{"areas": [[1, 2, 3, -4]]}', '{"areas": [7]}']) {
    assert.throws(() => areasRead(text), /no file of areas/);
  }
});

test("the checksum is that of ZIP files", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

test("a grid begins with what its first blocks lack", () => {
  const area = { ...areaOf({ x: 0, y: 0, width: 20, height: 16 }, "8"), offset: ["3", "0"] };
  assert.deepEqual(gridOf(area), { across: [0, 5, 13, 20], down: [0, 8, 16] });
  assert.equal(gridOf(areaOf(box)), null);
});

test("what was painted begins and ends at lines of the grid", () => {
  const found = { ...areaOf({ x: 40, y: 24, width: 64, height: 48 }, "8"), offset: null };
  const next = snapped(areaOf({ x: 43, y: 20, width: 30, height: 15 }), found);
  assert.equal(textOf(next), "40,24,32,8,8");
  assert.equal(textOf(snapped(areaOf({ x: 57, y: 41, width: 3, height: 3 }), found)), "56,40,8,8,8");
});
