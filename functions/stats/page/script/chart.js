// Chart of the last runs: gaps, axes, layout and drawing.

/** The upper median. Undefined for an empty list. */
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Pairs of adjacent values. */
const pairs = (values) => values.slice(1).map((value, index) => [values[index], value]);

/**
 * Gaps between scheduled runs, and since the last one: periods of about twice the schedule's period or more. If the
 * schedule has no fixed period, the median is used. Gaps and `runs` are ordered from old to new.
 */
function findGaps(runs, schedule, now) {
    const times = runs.filter((run) => run.trigger === 'schedule').map(startOf);
    const usual = periodOf(schedule) ?? median(pairs(times).map(([from, to]) => to - from));
    if (times.length === 0 || !usual) return [];
    return pairs([...times, now]).map(([from, to], index) => ({
        from, to, isOpen: index === times.length - 1, hasOthers: runs.some((run) => startOf(run) > from && startOf(run) < to),
    })).filter(({ from, to }) => to - from > 1.75 * usual);
}

/**
 * Time axis, from shortly before the first run to now, `width` pixels wide. Long pauses are cut, to leave space for the
 * runs. `at` returns the position of a time, `stretches` are the parts between the cuts, and `unit` is the usual distance
 * between two runs in pixels.
 */
function timeAxis(runs, schedule, now, width) {
    const times = [...runs.map(startOf), now];
    const distances = pairs(times).map(([from, to]) => to - from);
    const usual = Math.max(median(distances), runs.length === 1 ? periodOf(schedule) ?? UNITS.hour : 1_000);
    const long = 6 * usual;
    const longest = Math.max(long, distances.filter((it) => it <= long).reduce((sum, it) => sum + it, 0) / 4);
    const shown = distances.map((it) => Math.min(it, longest));
    // If there are few runs, there is space before them instead of wide bars.
    const sum = shown.reduce((all, it) => all + it, 0);
    const before = Math.max(usual / 2, 12 * usual - sum);
    const scale = width / (before + sum);
    const pieces = [{ from: times[0] - before, to: times[0], x: 0, end: before * scale, isCut: false }];
    for (const [index, [from, to]] of pairs(times).entries()) {
        const { end } = pieces.at(-1);
        pieces.push({ from, to, x: end, end: end + shown[index] * scale, isCut: distances[index] > longest });
    }
    const stretches = [];
    for (const piece of pieces) {
        const last = stretches.at(-1);
        if (piece.isCut) stretches.push(null);
        else if (last) Object.assign(last, { to: piece.to, end: piece.end });
        else stretches.push({ ...piece });
    }
    const at = (time) => {
        const { from, to, x, end } = pieces.find((it) => time <= it.to) ?? pieces.at(-1);
        return to === from ? end : x + ((time - from) / (to - from)) * (end - x);
    };
    return { at, unit: usual * scale, scale, cuts: pieces.filter((it) => it.isCut), stretches: stretches.filter(Boolean) };
}

const TICK_MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080, 20_160, 40_320];

/** Labels of the axis at round times of day. A label has a day if it differs from the label before. */
function timeLabels({ at, scale, stretches }, end) {
    const room = 58;
    const minutes = TICK_MINUTES.find((it) => it * 60_000 * scale >= room) ?? TICK_MINUTES.at(-1);
    const labels = [];
    let day = '';
    for (const { from, to } of stretches) {
        // Time on the clock, so that the labels stay round after a change of daylight saving time.
        for (let count = 0; ; count += 1) {
            const time = afterMidnight(from, count * minutes);
            // Also ends the loop at an invalid date, which compares as false.
            if (!(time <= to)) break;
            const x = at(time);
            if (time < from || x < 8 || x > end - 44 || x < (labels.at(-1)?.x ?? -room) + room * 0.9) continue;
            const isOther = formatDay(time) !== day;
            day = formatDay(time);
            labels.push(minutes < 1_440 ? { x, hour: formatHour(time), day: isOther ? day : '' } : { x, hour: day, day: '' });
        }
    }
    return labels;
}

const MIN_BAR = 3;
const MARK_HEIGHT = 14;

/**
 * Columns of the runs, in chronological order. A run without space at its own time is moved to the right. If it would move
 * too far, it shares the bar before it.
 */
function placeRuns(runs, axis) {
    const pitch = Math.min(Math.max(axis.unit * 0.3, MIN_BAR + 1), 8);
    const shift = Math.max(axis.unit * 0.5, pitch);
    const columns = [];
    for (const run of runs) {
        const own = axis.at(startOf(run));
        const x = Math.max(own, (columns.at(-1)?.x ?? -Infinity) + pitch);
        if (x - own > shift) columns.at(-1).runs.push(run);
        else columns.push({ x, runs: [run] });
    }
    return columns.map((column, index) => {
        const room = Math.min(...[columns[index - 1], columns[index + 1]].filter(Boolean).map((it) => Math.abs(it.x - column.x)));
        return { ...column, width: Math.max(MIN_BAR, Math.min(axis.unit * 0.72, room * 0.8, 40)) };
    });
}

/** The smallest round number that is at least `value`. */
function roundTop(value) {
    const scale = 10 ** Math.floor(Math.log10(Math.max(1, value)));
    return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * scale).find((step) => step >= value);
}

/**
 * Scale of a measure. `share` maps a value to 0 to 1. The scale is logarithmic if a quarter of the bars would be too low
 * to be visible on a linear scale. Zero maps to 0 in both cases.
 */
function valueScale(values, height) {
    const highest = Math.max(...values);
    const some = values.filter((value) => value > 0).toSorted((a, b) => a - b);
    const low = some[Math.floor((some.length - 1) / 4)];
    if (some.length === 0 || (low / highest) * height >= MIN_BAR) {
        const top = roundTop(highest);
        return { isLogarithmic: false, ticks: [0, ...(top % 2 === 0 ? [top / 2] : []), top], share: (value) => value / top };
    }
    const powers = Math.ceil(Math.log10(highest));
    const every = Math.ceil(powers / 4);
    const ticks = [0];
    for (let power = powers; power > 0; power -= every) ticks.splice(1, 0, 10 ** power);
    return { isLogarithmic: true, ticks, share: (value) => Math.log1p(value) / Math.log1p(10 ** powers) };
}

/** Layout of a chart of this width: a panel for each measure, with bars at the times of the runs. */
function chartLayout(runs, gaps, schedule, now, width) {
    const height = 92;
    const measures = [
        { name: 'Sessions deactivated', className: 'deactivated', of: (run) => run.sessions_deactivated },
        { name: 'Records deleted', className: 'deleted', of: deletedBy },
    ];
    // The labels of the grid are measured first. They hardly depend on which runs share a bar.
    const write = (value) => (value < 10_000 ? formatNumber : formatShort)(value);
    const widest = Math.max(...measures.flatMap(({ of }) => valueScale(runs.map(of), height).ticks.map((tick) => write(tick).length)));
    const left = 14 + 7 * widest;
    const right = width - 22;
    const axis = timeAxis(runs, schedule, now, right - left);
    const columns = placeRuns(runs, axis).map((it) => ({ ...it, x: left + it.x }));
    const panels = measures.map(({ name, className, of }, index) => {
        const values = columns.map((column) => total(column.runs, of));
        const scale = valueScale(values, height);
        const base = 28 + height + index * (height + 46);
        return {
            className, base, top: base - height,
            name: scale.isLogarithmic ? `${name}, logarithmic scale` : name,
            ticks: scale.ticks.map((value) => ({ y: base - scale.share(value) * height, text: write(value) })),
            bars: columns.map((column, at) => ({ x: column.x - column.width / 2, width: column.width, value: values[at],
                // Values above 0 are always visible.
                height: values[at] === 0 ? 0 : Math.max(2, scale.share(values[at]) * height) })),
        };
    });
    const marksAt = panels.at(-1).base + 14;
    const marks = columns.map((column) => ({ x: column.x, count: column.runs.length,
        kinds: Object.keys(SIGNS).filter((sign) => column.runs.some((run) => outcome(run).signs.includes(sign))) }));
    // Several marks of one run are below each other.
    const labelsAt = marksAt + 26 + MARK_HEIGHT * (Math.max(1, ...marks.map(({ kinds, count }) => kinds.length + (count > 1))) - 1);
    return {
        width, height: labelsAt + 22, left, right: width, now: right, panels, columns, marks, marksAt, labelsAt,
        labels: timeLabels(axis, right - left).map((it) => ({ ...it, x: left + it.x })),
        gaps: gaps.map((gap) => ({ ...gap, x: left + axis.at(gap.from) + axis.unit / 2,
            end: left + axis.at(gap.to) - (gap.isOpen ? 0 : axis.unit / 2) })).filter(({ x, end }) => end > x),
        cuts: axis.cuts.map(({ x, end, from, to }) => ({ x: left + (x + end) / 2, width: end - x, words: duration((to - from) / 1_000, 1) })),
        /** Index of the bar that is closest to this position. */
        columnAt: (x) => columns.reduce((best, column, index) =>
            (Math.abs(column.x - x) < Math.abs(columns[best].x - x) ? index : best), 0),
    };
}

function svg(name, attributes = {}, ...children) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
}

/** A cross, a diamond and a triangle, which differ without colour. */
const SIGNS = {
    failed: { words: 'failed', path: (x, y) => `M${x - 4},${y - 4}l8,8m0,-8l-8,8` },
    attention: { words: 'malformed records: correct them', path: (x, y) => `M${x},${y - 6}l6,6l-6,6l-6,-6z` },
    incomplete: { words: 'incomplete: the time ran out', path: (x, y) => `M${x},${y - 5}l5.5,10h-11z` },
};
const mark = (kind, x, y) => svg('path', { class: `${kind}-mark`, d: SIGNS[kind].path(x, y) });

/** The mark, for use within text that has the same meaning. */
const markInText = (kind) => svg('svg', { class: 'sign', width: 16, height: 12, 'aria-hidden': 'true' }, mark(kind, 7, 6));

const gapInText = () => svg('svg', { class: 'sign', width: 16, height: 12, 'aria-hidden': 'true' },
    svg('rect', { class: 'gap', x: 1, y: 0, width: 13, height: 12 }));

function drawChart(layout) {
    const drawing = svg('svg', { role: 'img', 'aria-labelledby': 'chart-heading', 'aria-describedby': 'chart-summary',
        height: layout.height, viewBox: `0 0 ${layout.width} ${layout.height}` });
    const line = (className, x1, y1, x2, y2) => svg('line', { class: className, x1, y1, x2, y2 });
    const text = (x, y, words, className = '', anchor = 'middle') =>
        svg('text', { x, y, 'text-anchor': anchor, ...(className && { class: className }) }, words);
    drawing.append(svg('rect', { class: 'here', y: 20, height: layout.height - 52, visibility: 'hidden' }));
    const [upper] = layout.panels;
    const bottom = layout.panels.at(-1).base;
    for (const { x, end } of layout.gaps) {
        for (const { top, base } of layout.panels) drawing.append(svg('rect', { class: 'gap', x, y: top, width: end - x, height: base - top }));
    }
    drawing.append(line('now', layout.now, upper.top, layout.now, bottom + 4));
    for (const panel of layout.panels) {
        drawing.append(text(0, panel.top - 14, panel.name, 'title', 'start'));
        for (const { y, text: words } of panel.ticks) {
            drawing.append(line(y === panel.base ? 'base' : 'grid', layout.left, y, layout.right, y),
                text(layout.left - 8, y + 4, words, '', 'end'));
        }
        for (const bar of panel.bars.filter((it) => it.height > 0)) {
            drawing.append(svg('rect', { class: panel.className, x: bar.x, y: panel.base - bar.height,
                width: bar.width, height: bar.height, 'data-value': bar.value }));
        }
        // Two strokes across the axis mark a cut.
        for (const { x } of layout.cuts) {
            drawing.append(svg('path', { class: 'cut', d: `M${x - 5},${panel.base + 5}l4,-10m4,0l-4,10` }));
        }
    }
    for (const { x, width, words } of layout.cuts) if (width > 7 * words.length) drawing.append(text(x, upper.top + 34, words, 'gap-words'));
    for (const { x, end, hasOthers } of layout.gaps) {
        if (end - x > 48 && !hasOthers) drawing.append(text((x + end) / 2, upper.top + 18, 'no run', 'gap-words'));
    }
    for (const { x, kinds, count } of layout.marks) {
        kinds.forEach((kind, index) => drawing.append(mark(kind, x, layout.marksAt + MARK_HEIGHT * index)));
        // The number of runs that share the bar, below their marks, unless it would be next to other marks.
        const hasRoom = !layout.marks.some((it) => it.kinds.length > kinds.length && Math.abs(it.x - x) < 20);
        if (count > 1 && hasRoom) drawing.append(text(x, layout.marksAt + MARK_HEIGHT * kinds.length + 4, `×${count}`));
    }
    for (const { x, hour, day } of layout.labels) {
        drawing.append(line('base', x, bottom, x, bottom + 4), text(x, layout.labelsAt, hour), text(x, layout.labelsAt + 15, day));
    }
    drawing.append(text(layout.now, layout.labelsAt, 'now'));
    return drawing;
}
