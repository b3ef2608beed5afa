import { expect, test } from 'vitest';
import { readJunit } from './junit.ts';

test('a JUnit report as pytest and schemathesis write it', () => {
  const xml = `<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="4">
<testcase classname="a" name="test_fine" time="0.1" />
<testcase classname="a" name="test_a&lt;b&gt;" time="0.1"><failure message="assert 1 &#10; == 2">trace</failure></testcase>
<testcase classname="a" name="test_left_out"><skipped type="pytest.skip" message="Not here.">x.py:1</skipped></testcase>
<testcase name="POST /v1/x"><error type="error">it &amp; more</error></testcase>
</testsuite></testsuites>`;
  expect(readJunit(xml)).toEqual([
    { name: 'test_fine', outcome: 'passed' },
    { name: 'test_a<b>', outcome: 'failed', why: 'assert 1 == 2' },
    { name: 'test_left_out', outcome: 'skipped', why: 'Not here.' },
    { name: 'POST /v1/x', outcome: 'failed', why: 'it & more' },
  ]);
});
