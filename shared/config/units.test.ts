import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAddress,
  formatDuration,
  formatSize,
  parseAddress,
  parseDuration,
  parseSize,
  size,
  UnitError,
  writeDuration,
  writeSize,
} from './units.ts';

const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test('a written size or duration reads back as the same number', () => {
  fc.assert(fc.property(whole, (bytes) => parseSize(writeSize(bytes)) === bytes));
  fc.assert(fc.property(whole, (durationMs) => parseDuration(writeDuration(durationMs)) === durationMs));
});

test('sizes and durations are read with their units', () => {
  assert.equal(parseSize('10MiB'), 10 * 1024 * 1024);
  assert.equal(parseSize('64KiB'), 65_536);
  assert.equal(parseSize('1GB'), 1e9);
  assert.equal(parseSize('1.5kib'), 1536);
  assert.equal(parseSize('0'), 0);
  assert.equal(parseDuration('250ms'), 250);
  assert.equal(parseDuration('15m'), 900_000);
  assert.equal(parseDuration('7d'), 7 * 86_400_000);
});

test('a number without a unit is refused, and so is anything that is not exact', () => {
  for (const text of ['10', '1.5B', '10 apples', '', '-5MiB', '1e6B', '99999999TiB', 'MiB', '0x10B']) {
    assert.throws(() => parseSize(text), UnitError, text);
  }
  for (const text of ['30', '0.1ms', '1w', '1M']) assert.throws(() => parseDuration(text), UnitError, text);
});

test('an address reads back as itself', () => {
  const ports = fc.integer({ min: 0, max: 65_535 });
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), ports, (host, port) => {
      assert.deepEqual(parseAddress(formatAddress({ host, port })), { host, port });
    }),
  );
});

test('an address that is none is refused with the reason', () => {
  assert.deepEqual(parseAddress('[::1]:8443'), { host: '::1', port: 8443 });
  for (const text of ['host', 'host:', ':22', '::1:8443', 'host:70000', '[host]:22', '1.2.3:22', 'a b:22', '-a:22']) {
    assert.throws(() => parseAddress(text), UnitError, text);
  }
});

test('a size out of its range is refused, whatever its unit', () => {
  const field = size({ min: '1KiB', max: '1MiB' });
  assert.equal(field.parse('1024KiB'), 1_048_576);
  assert.match(String(field.safeParse('2MiB').error), /the most is 1MiB/);
  assert.match(String(field.safeParse('0').error), /the least is 1KiB/);
  assert.match(String(field.safeParse(5).error), /the unit is missing/);
});

test('people get short texts', () => {
  assert.equal(formatSize(0), '0 B');
  assert.equal(formatSize(1_258_291), '1.2 MiB');
  assert.equal(formatSize(1024 * 1024 - 1), '1 MiB'.replace('1 ', '1.0 '));
  assert.equal(formatDuration(250), '250 ms');
  assert.equal(formatDuration(3 * 86_400_000 + 4 * 3_600_000 + 5000), '3 d 4 h');
  assert.equal(formatDuration(60_000), '1 m');
});
