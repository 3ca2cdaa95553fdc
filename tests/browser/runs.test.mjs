// How the page shows reports: the outcome of a run, and the chart's time axis and scale.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { respondWithReports, overrideStatistics, report } from './stack.mjs';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// This is 18:20 in Berlin.
const NOW = Date.parse('2026-11-25T17:20:00Z');
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

let world;
before(async () => { world = await open('--empty'); });
after(() => world.close());

/**
 * Reports of `count` hourly runs, newest first. The newest started 20 minutes ago; `members(hours)` overrides members of
 * the run `hours` hours before it.
 */
const hourly = (count, members = () => ({})) => Array.from({ length: count }, (_, hours) =>
    report(new Date(NOW - 20 * MINUTE - hours * HOUR), { sessions_deactivated: 20 + ((hours * 7) % 11), ...members(hours) }));

const newestFirst = (reports) => reports.toSorted((a, b) => (a.started_at < b.started_at ? 1 : -1));

/** Signs in as a reader. The API returns these reports, and its statistics have these members. */
async function readerOf(reports, statistics = { schedule: 'rate(1 hour)' }, options = {}) {
    const visited = await visit(world, options);
    await visited.page.clock.setFixedTime(NOW);
    await overrideStatistics(visited.page, { last_cleanup: reports.find((it) => !it.dry_run) ?? null, ...statistics });
    await respondWithReports(visited.page, reports);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    return visited;
}

/** The bars of one measure with their positions in the drawing, from left to right. */
const bars = (visited, name = 'deactivated') => visited.page.locator(`#chart rect.${name}`).evaluateAll((all) =>
    all.map((bar) => ({ value: Number(bar.dataset.value),
        ...Object.fromEntries(['x', 'width', 'height'].map((it) => [it, Number(bar.getAttribute(it))])) })));
const middle = ({ x, width }) => x + width / 2;
const steps = (places) => places.slice(1).map((place, index) => middle(place) - middle(places[index]));

/** Selects the run `back` bars from the right by keyboard, and returns its description. */
async function choose(visited, back) {
    await visited.page.getByRole('slider', { name: 'Run in the chart' }).focus();
    await visited.page.keyboard.press('End');
    for (let presses = 0; presses < back; presses += 1) await visited.page.keyboard.press('ArrowLeft');
    return visited.text('readout');
}

const overflow = ({ page }) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

for (const [look, options] of [['a screen', {}], ['a phone', PHONE]]) {
    test(`Malformed records are highlighted wherever a run is shown, on ${look}`, async () => {
        const visited = await readerOf(hourly(48, (hours) => (hours === 0 ? { malformed: 512 } : {})), {}, options);
        const shown = visited.page.locator('#reports tr').first().locator('.outcome .attention');
        assert.equal(await shown.textContent(), 'Complete, 512 malformed');
        // By a mark, a border and words, not only by colour.
        assert.equal(await shown.locator('svg .attention-mark').count(), 1);
        assert.equal(await shown.evaluate((it) => getComputedStyle(it).borderTopStyle), 'solid');
        assert.equal(await visited.text('last-note'), '20 minutes ago, by schedule: complete, 512 malformed');
        assert.equal(await visited.page.locator('#last-note .attention .attention-mark').count(), 1);
        assert.match(await visited.text('chart-summary'), /deleted\. 512 records malformed, in 1 run\. Each bar/);
        assert.match(await choose(visited, 0), /, by schedule: 20 deactivated, 0 deleted, complete, 512 malformed$/);
        assert.equal(await visited.page.locator('#chart > svg > .attention-mark').count(), 1);
        assert.deepEqual(await visited.page.locator('#chart .legend').allTextContents(), ['malformed records: correct them']);
        assert.equal(await visited.page.locator('#reports tr').nth(1).locator('.outcome').textContent(), 'Complete');
        assert.equal(await overflow(visited), 0);
        await endVisit(visited);
    });
}

test('Counts that need no action are shown without a warning', async () => {
    const visited = await readerOf(hourly(2, (hours) => (hours ? {}
        : { reindexed: 3, changed_elsewhere: 2, adopted: 4_000, adoption_percent: 40 })));
    const words = '3 reindexed, 2 changed elsewhere, 4,000 adopted, adoption at 40 % of the table';
    const first = visited.page.locator('#reports tr').first();
    assert.equal(await first.locator('.outcome .complete').textContent(), 'Complete');
    assert.equal(await first.locator('.outcome .reason').textContent(), words);
    assert.equal(await visited.text('last-note'), `20 minutes ago, by schedule: complete, ${words}`);
    assert.ok((await choose(visited, 0)).endsWith(`complete, ${words}`));
    assert.match(await visited.text('chart-summary'), /Also 3 reindexed, 2 changed elsewhere, 4,000 adopted\./);
    assert.equal(await visited.page.locator('#dashboard :is(.attention, .failed, .incomplete), #chart .legend').count(), 0);
    await endVisit(visited);
});

test('A run with several problems shows each of them', async () => {
    const visited = await readerOf(hourly(3, (hours) => ({
        0: { failed: 3, malformed: 12, complete: false }, 1: { malformed: 1, complete: false }, 2: { failed_records: ['USER#a SESSION#1'] },
    })[hours]));
    const shown = await visited.page.locator('#reports .outcome').evaluateAll((all) =>
        all.map((it) => [...it.querySelectorAll(':scope > span')].map((part) => [part.className, part.textContent])));
    assert.deepEqual(shown, [
        [['failed', 'Failed on 3 records, incomplete'], ['attention', '12 malformed']],
        [['attention', 'Incomplete, 1 malformed']],
        [['failed', 'Failed on 1 record']],
    ]);
    const marks = await visited.page.locator('#chart > svg > path').evaluateAll((all) => all.map((it) => it.getAttribute('class')));
    // From the oldest run to the newest.
    assert.deepEqual(marks, ['failed-mark', 'attention-mark', 'incomplete-mark', 'failed-mark', 'attention-mark', 'incomplete-mark']);
    assert.match(await visited.text('chart-summary'), /2 runs failed\. 2 runs incomplete\. 13 records malformed, in 2 runs\./);
    await endVisit(visited);
});

for (const [look, options] of [['a screen', {}], ['a phone', PHONE]]) {
    for (const [source, schedule] of [['the schedule', 'rate(1 hour)'], ['the other runs', null]]) {
        test(`Missing runs are shown as a gap, judged by ${source}, on ${look}`, async () => {
            const visited = await readerOf(hourly(50).toSpliced(4, 2), { schedule }, options);
            const places = await bars(visited);
            assert.equal(places.length, 48);
            const between = steps(places);
            const [usual] = between;
            between.forEach((step, index) => assert.ok(Math.abs(step / usual - (index === 43 ? 3 : 1)) < 0.05, `${index}: ${step} of ${usual}`));
            for (const { width } of places) assert.ok(width >= 3, `${width}`);
            assert.match(await visited.text('chart-summary'), /\. No run between 25 Nov, 12:00 and 15:00\. Each bar/);
            // One mark for each of the two measures, inside the gap.
            const gaps = await bars(visited, 'gap');
            assert.equal(await visited.page.locator('#chart > svg > .gap').count(), 2);
            assert.ok(gaps[0].x > middle(places[43]) && gaps[0].x + gaps[0].width < middle(places[44]));
            await visited.waitForText('no scheduled run');
            await endVisit(visited);
        });
    }
}

test('Runs on schedule show no gap', async () => {
    for (const [reports, schedule] of [
        [hourly(48), 'rate(1 hour)'],
        [hourly(48).filter((_, index) => index % 2 === 0), 'rate(2 hours)'],
        [hourly(48), undefined],
        [hourly(1), undefined],
        // A manual run long ago, before there was a schedule.
        [[...hourly(20), report(new Date(NOW - 40 * DAY), { trigger: 'manual' })], 'rate(1 hour)'],
    ]) {
        const visited = await readerOf(reports, { schedule });
        assert.doesNotMatch(await visited.text('chart-summary'), /[Nn]o (scheduled )?run/);
        assert.equal(await visited.page.locator('#chart .gap').count(), 0);
        await endVisit(visited);
    }
});

test('Runs that stopped are shown as a gap until now', async () => {
    const visited = await readerOf(hourly(40).slice(5));
    assert.match(await visited.text('chart-summary'), /\. No run since 25 Nov, 13:00\. Each bar/);
    const [usual] = steps(await bars(visited));
    const now = Number(await visited.page.locator('#chart .now').getAttribute('x1'));
    assert.ok(Math.abs((now - middle((await bars(visited)).at(-1))) / usual - 5 - 1 / 3) < 0.05);
    await endVisit(visited);
});

test('A manual run does not hide a gap in the schedule', async () => {
    const byHand = report(new Date(NOW - 6 * HOUR), { trigger: 'api', requested_by: 'ada', sessions_deactivated: 9 });
    const visited = await readerOf(newestFirst([...hourly(48).toSpliced(4, 3), byHand]));
    assert.match(await visited.text('chart-summary'), /\. No scheduled run between 25 Nov, 11:00 and 15:00\./);
    await endVisit(visited);
});

test('The summary describes the last three gaps and counts the others', async () => {
    const visited = await readerOf(hourly(48).filter((_, index) => index % 6 !== 3));
    const summary = await visited.text('chart-summary');
    assert.equal(summary.match(/No run between/g).length, 3);
    assert.match(summary, /No run between 25 Nov, 14:00 and 16:00\. Before, 5 more gaps\./);
    await endVisit(visited);
});

for (const [look, options] of [['a screen', {}], ['a phone', PHONE]]) {
    test(`Time labels on the axis are aligned with their bars, on ${look}`, async () => {
        const visited = await readerOf(hourly(48), {}, options);
        const labels = await visited.page.locator('#chart > svg > text').evaluateAll((all) =>
            all.map((it) => ({ words: it.textContent, x: Number(it.getAttribute('x')) })));
        const places = await bars(visited);
        // The runs at midnight in Berlin: 18 hours before the last run, and a day earlier.
        const midnights = labels.filter(({ words }) => words === '00:00');
        assert.deepEqual(midnights.length, 2);
        midnights.forEach(({ x }, index) => assert.ok(Math.abs(x - middle(places[47 - 18 - 24 * (1 - index)])) < 0.5));
        assert.deepEqual(labels.filter(({ words }) => /Nov$/.test(words)).map(({ words }) => words).slice(-2), ['24 Nov', '25 Nov']);
        assert.equal(labels.at(-1).words, 'now');
        // No two labels overlap.
        const boxes = await visited.page.locator('#chart > svg > text').evaluateAll((all) =>
            all.filter((it) => /^(\d\d:\d\d|now)$/.test(it.textContent)).map((it) => it.getBBox()).map(({ x, width }) => [x, x + width]));
        boxes.slice(1).forEach(([from], index) => assert.ok(from > boxes[index][1], `${boxes}`));
        await endVisit(visited);
    });

    test(`A manual run between others has its own bar, on ${look}`, async () => {
        const byHand = [10, 3 * 60 + 30, 5 * 60 + 1].map((minutes) => report(new Date(NOW - 20 * MINUTE - minutes * MINUTE),
            { trigger: 'api', requested_by: 'ada', sessions_deactivated: minutes }));
        const reports = newestFirst([...hourly(45), ...byHand]);
        const visited = await readerOf(reports, {}, options);
        const places = await bars(visited);
        // In order of time, wide enough to be visible, without overlap.
        assert.deepEqual(places.map((it) => it.value), reports.map((it) => it.sessions_deactivated).reverse());
        places.forEach(({ x, width }, index) => {
            assert.ok(width >= 3, `${width}`);
            if (index > 0) assert.ok(x >= places[index - 1].x + places[index - 1].width, `${index}`);
        });
        // Select the run by pointer,
        const at = places.findIndex((it) => it.value === 210);
        const drawing = visited.page.locator('#chart > svg');
        await drawing.scrollIntoViewIfNeeded();
        const { x, y } = await drawing.boundingBox();
        if (options.hasTouch) await visited.page.touchscreen.tap(x + middle(places[at]), y + 60);
        else await visited.page.mouse.move(x + middle(places[at]), y + 60);
        assert.match(await visited.text('readout'), /14:30, by ada: 210 deactivated/);
        // and by keyboard; a screen reader gets the same text.
        assert.match(await choose(visited, places.length - 1 - at), /14:30, by ada: 210 deactivated/);
        assert.equal(await visited.page.getByRole('slider').getAttribute('aria-valuetext'), await visited.text('readout'));
        await endVisit(visited);
    });
}

test('Time labels are at full hours of the selected time zone', async () => {
    // Five and a half hours ahead of UTC.
    const visited = await readerOf(hourly(48), {}, { timezoneId: 'Asia/Kolkata' });
    const labels = async () => (await visited.page.locator('#chart > svg > text').allTextContents()).filter((it) => /^\d\d:\d\d$/.test(it));
    const local = await labels();
    await visited.page.getByLabel('Times').selectOption('UTC');
    for (const all of [local, await labels()]) {
        assert.ok(all.length > 5);
        for (const label of all) assert.match(label, /:00$/);
    }
    await endVisit(visited);
});

test('Runs too close together share a labelled bar', async () => {
    const byHand = Array.from({ length: 12 }, (_, index) => report(new Date(NOW - 5.4 * HOUR - index * 10_000),
        { trigger: 'manual', sessions_deactivated: 9, malformed: index === 5 ? 2 : 0 }));
    const visited = await readerOf(newestFirst([...hourly(36), ...byHand]));
    const places = await bars(visited);
    const together = places.findIndex((it) => it.value > 50);
    const { value } = places[together];
    assert.equal(places.reduce((sum, it) => sum + it.value, 0),
        hourly(36).reduce((sum, it) => sum + it.sessions_deactivated, 0) + 12 * 9);
    assert.match(await choose(visited, places.length - 1 - together),
        new RegExp(`^${value / 9} runs, 25 Nov, 12:\\d\\d(:| to 12:\\d\\d:) ${value} sessions deactivated`));
    await visited.page.locator('#chart').getByText(`×${value / 9}`).waitFor();
    assert.match(await visited.text('chart-summary'), /2 records malformed, in 1 run\./);
    await endVisit(visited);
});

test('A pause of weeks is shortened on the axis to leave room for the runs', async () => {
    const old = Array.from({ length: 20 }, (_, index) => report(new Date(NOW - 60 * DAY - index * HOUR), { sessions_deactivated: 30 }));
    const visited = await readerOf([...hourly(20), ...old], {}, PHONE);
    const places = await bars(visited);
    assert.equal(places.length, 40);
    const between = steps(places);
    assert.ok(between[19] > 5 * between[0] && between[19] < 20 * between[0], `${between}`);
    assert.equal(await visited.page.locator('#chart .cut').count(), 2);
    await visited.page.locator('#chart').getByText('59 days').waitFor();
    assert.match(await visited.text('chart-summary'), /No run between 26 Sept, 19:20 and 24 Nov, 23:00\./);
    await endVisit(visited);
});

test('The page draws runs with extremely old start times', async () => {
    for (const started of [0, -62_135_596_800_000, -8_640_000_000_000_000]) {
        const visited = await readerOf([report(new Date(NOW), { sessions_deactivated: 1 }), report(new Date(started), { sessions_deactivated: 1 })]);
        assert.equal((await bars(visited)).length, 2);
        await endVisit(visited);
    }
});

test('One huge run does not hide the others', async () => {
    const visited = await readerOf(hourly(48, (hours) => (hours === 20 ? { sessions_deactivated: 889_000 } : {})));
    const places = (await bars(visited)).toSorted((a, b) => a.value - b.value);
    assert.equal(places.at(-1).value, 889_000);
    places.slice(1).forEach((bar, index) => {
        const below = places[index];
        assert.ok(below.height >= 3, `${below.value}: ${below.height}`);
        assert.ok(bar.value === below.value ? bar.height === below.height : bar.height > below.height, `${bar.value}`);
    });
    const words = await visited.page.locator('#chart > svg > text').allTextContents();
    assert.ok(words.includes('Sessions deactivated, logarithmic scale'));
    // The other measure keeps a linear scale.
    assert.ok(words.includes('Records deleted'));
    for (const tick of ['0', '100', '10K', '1M']) assert.ok(words.includes(tick), `${words}`);
    await endVisit(visited);
});

test('Ticks of a logarithmic scale match the heights of its bars', async () => {
    const values = [0, 1, 1, 100, 1_000_000];
    const visited = await readerOf(values.map((value, hours) => report(new Date(NOW - hours * HOUR), { sessions_deactivated: value })));
    const heights = Object.fromEntries((await bars(visited)).map(({ value, height }) => [value, height]));
    const ticks = await visited.page.locator('#chart > svg').evaluate((drawing) => {
        const all = [...drawing.querySelectorAll('text[text-anchor=end]')].map((it) => [it.textContent, Number(it.getAttribute('y'))]);
        return Object.fromEntries(all.slice(0, 4).map(([words, y]) => [words, all[0][1] - y]));
    });
    assert.equal(ticks[0], 0);
    assert.ok(Math.abs(heights[100] - ticks[100]) < 0.01 && Math.abs(heights[1_000_000] - ticks['1M']) < 0.01, JSON.stringify([heights, ticks]));
    // A count of 0 has no bar.
    assert.ok(!('0' in heights));
    assert.ok(heights[1] >= 3);
    await endVisit(visited);
});

test('Runs of similar size are drawn on a linear scale', async () => {
    const visited = await readerOf(hourly(48, (hours) => ({ sessions_deactivated: 2 + (hours % 12) * 5 })));
    for (const { value, height } of await bars(visited)) assert.ok(Math.abs(height - (value / 60) * 92) < 0.1, `${value}: ${height}`);
    assert.equal(await visited.page.getByText('logarithmic').count(), 0);
    await endVisit(visited);
});

test('The run selected by keyboard stays selected after a refresh', async () => {
    const reports = hourly(48);
    const visited = await readerOf(reports);
    const said = await choose(visited, 3);
    assert.match(said, /^25 Nov, 15:00, /);
    // The chart shows the focus.
    assert.equal(await visited.page.locator('#chart').evaluate((it) => getComputedStyle(it).outlineStyle), 'solid');
    await visited.page.unroute('**/sessions/cleanups*');
    await respondWithReports(visited.page, [report(new Date(NOW), { sessions_deactivated: 77 }), ...reports]);
    await visited.press('Refresh');
    await visited.page.locator('#chart rect[data-value="77"]').waitFor();
    assert.equal(await visited.text('readout'), said);
    assert.equal(await visited.page.locator('#chart .here').getAttribute('visibility'), 'visible');
    await endVisit(visited);
});
