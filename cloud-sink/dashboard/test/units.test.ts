import { test } from "node:test";
import assert from "node:assert/strict";
import { compass, digits, figure, many, percent } from "../src/units.ts";

test("wind is shown in the unit that was chosen, all else as measured", () => {
  assert.equal(figure(10, "m/s", "m/s"), "10.0 m/s");
  assert.equal(figure(10, "m/s", "km/h"), "36.0 km/h");
  assert.equal(figure(10, "m/s", "knots"), "19.4 knots");
  assert.equal(figure(21.4, "°C", "knots"), "21.4 °C");
  assert.equal(figure(271.6, "°", "m/s"), "272°");
  assert.equal(figure(2.914, "", "m/s"), "2.91");
  assert.equal(figure(126, "1", "m/s"), "126");
});

test("what is not there is a dash, never a nought", () => {
  assert.equal(figure(null, "m/s", "m/s"), "–");
  assert.equal(figure(Number.NaN, "m/s", "m/s"), "–");
});

test("digits follow the sensor, and else the size", () => {
  assert.equal(digits(1234.56, "kW"), "1235");
  assert.equal(digits(123.456, "mm"), "123.5");
  assert.equal(digits(1.23456, "mm"), "1.23");
  assert.equal(digits(-0.04, "m/s"), "0.0");
});

test("almost all is not all", () => {
  assert.equal(percent(1), "100 %");
  assert.equal(percent(0.9999), "> 99.9 %");
  assert.equal(percent(0.8), "80.0 %");
});

test("counts have their words", () => {
  assert.equal(many(1, "turbine"), "1 turbine");
  assert.equal(many(1200, "turbine"), "1,200 turbines");
});

test("directions have compass points all round", () => {
  assert.deepEqual([0, 359, 90, 225, -90].map(compass), ["N", "N", "E", "SW", "W"]);
});
