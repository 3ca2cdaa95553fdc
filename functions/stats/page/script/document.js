// Content of the document.

const byId = (id) => document.getElementById(id);
const setText = (id, text) => { byId(id).textContent = text; };

function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
}

function timeElement(iso) {
    const time = new Date(iso);
    const shown = element('time', '', formatTime(time));
    shown.dateTime = iso;
    shown.title = `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
    return shown;
}

/** Elements of an outcome: each part with its mark, and its words converted by `write`. */
function outcomeElements({ parts }, write = (words) => words) {
    return parts.flatMap(({ kind, words }, index) => [...(index > 0 ? [', '] : []),
        element('span', kind, ...(SIGNS[kind] ? [markInText(kind)] : []), write(words))]);
}

function showStatistics(statistics, reports) {
    const view = statisticsView(statistics, reports, Date.now());
    for (const name of ['need', 'live', 'expired', 'inactive', 'total', 'oldest']) setText(name, view[name]);
    setText('total-note', view.totalNote);
    setText('oldest-note', view.oldestNote);
    for (const name of ['malformed', 'advice']) {
        setText(name, view[name]);
        byId(name).hidden = !view[name];
    }
    byId('last').replaceChildren(view.last ? timeElement(view.last) : 'None');
    const went = view.lastOutcome;
    byId('last-note').replaceChildren(view.lastNote, ...(went ? outcomeElements(went, (words) => words.toLowerCase()) : []),
        went?.also ? `, ${went.also}` : '');
    byId('next-panel').hidden = view.next === null;
    byId('next-panel').classList.toggle('some', view.next?.isLate ?? false);
    setText('next', view.next?.words ?? '');
    setText('next-note', view.nextNote);
    document.querySelector('.need').classList.toggle('needed', view.needed);
    byId('expired-panel').classList.toggle('some', view.isExpired);
}

function reportRow(report) {
    const went = outcome(report);
    const started = element('th', '', timeElement(report.started_at));
    started.scope = 'row';
    const result = element('td', 'outcome', ...outcomeElements(went));
    if (report.dry_run) result.prepend(element('span', 'tag', 'Dry run'), ' ');
    for (const words of [went.reason, went.also]) if (words) result.append(element('span', 'reason', words));
    const rejected = rejectedBy(report);
    if (rejected.length > 0) {
        const keys = element('ul', '', ...rejected.map((key) => element('li', '', key)));
        result.append(element('details', 'reason', element('summary', '', `${plural(rejected.length, 'record')} rejected by the table`), keys));
    }
    const numbers = [report.sessions_deactivated, deletedBy(report), report.sessions_deleted,
        report.refresh_tokens_deleted, report.blacklisted_tokens_deleted].map(formatNumber);
    numbers.push(took(report.duration_ms), formatNumber(report.capacity_units));
    return element('tr', report.dry_run ? 'dry' : '', started, element('td', 'by', startedBy(report)), result,
        ...numbers.map((text) => element('td', 'number', text)));
}

// The last data that was read with this token.
let known = { statistics: null, reports: [], charted: [], dryRuns: 0 };
// Newest run of the bar that is selected with the pointer or the keyboard.
let chosen = null;

const HINT = 'Point at a run, tap it, or choose it with the arrow keys, to read its figures.';

function emptyWords({ dryRuns, statistics }) {
    const next = statistics && nextView(statistics, Date.now());
    const first = next ? `the first ${next.first}.` : '';
    if (dryRuns > 0) return `Only dry runs are among the last reports.${first && ` No cleanup has run yet: ${first}`}`;
    return first ? `No cleanup has run yet: ${first}` : 'There is no report of a cleanup.';
}

function redrawChart() {
    const place = byId('chart');
    const chooser = byId('run');
    const { charted, statistics } = known;
    chooser.hidden = charted.length === 0;
    if (charted.length === 0) {
        place.replaceChildren(element('p', 'empty', emptyWords(known)));
        setText('chart-summary', '');
        setText('readout', '');
        return;
    }
    // The clock of this device may be behind the clock of the API.
    const now = Math.max(Date.now(), startOf(charted.at(-1)));
    const gaps = findGaps(charted, statistics?.schedule, now);
    setText('chart-summary', chartSummary(charted, known.dryRuns, gaps));
    const layout = chartLayout(charted, gaps, statistics?.schedule, now, place.clientWidth);
    const { columns } = layout;
    const drawing = drawChart(layout);
    const here = drawing.querySelector('.here');
    const kinds = Object.keys(SIGNS).filter((kind) => layout.marks.some((it) => it.kinds.includes(kind)));
    const legend = element('p', 'legend quiet', ...kinds.map((kind) => element('span', '', markInText(kind), SIGNS[kind].words)));
    if (layout.gaps.length > 0) legend.append(element('span', '', gapInText(), 'no scheduled run'));
    const choose = (index) => {
        const column = columns[index];
        chosen = column?.runs.at(-1).run_id ?? null;
        here.setAttribute('visibility', column ? 'visible' : 'hidden');
        if (column) {
            const width = Math.max(column.width * 1.3, 8);
            here.setAttribute('x', column.x - width / 2);
            here.setAttribute('width', width);
            chooser.value = index;
            chooser.setAttribute('aria-valuetext', readout(column.runs));
        }
        // The hint reserves the height, so that the layout does not shift.
        setText('readout', column ? readout(column.runs) : HINT);
    };
    const point = (event) => choose(event.type === 'pointerleave' ? -1
        : layout.columnAt(event.clientX - drawing.getBoundingClientRect().left));
    drawing.addEventListener('pointermove', point);
    drawing.addEventListener('pointerdown', point);
    // On touch, lifting the finger also fires this event. The selection must stay then.
    drawing.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && point(event));
    chooser.max = columns.length - 1;
    chooser.oninput = () => choose(Number(chooser.value));
    chooser.onfocus = chooser.oninput;
    place.replaceChildren(drawing, ...(legend.hasChildNodes() ? [legend] : []));
    const again = columns.findIndex((column) => column.runs.some((run) => run.run_id === chosen));
    choose(again);
    if (again < 0) {
        chooser.value = columns.length - 1;
        chooser.setAttribute('aria-valuetext', readout(columns.at(-1).runs));
    }
}

function showReports(reports) {
    const real = reports.filter((it) => !it.dry_run).slice(0, CHARTED_RUNS);
    // The table starts at the same run as the chart, so that it can replace the chart.
    const shown = real.length < CHARTED_RUNS ? reports : reports.slice(0, reports.indexOf(real.at(-1)) + 1);
    Object.assign(known, { reports, charted: real.toReversed(), dryRuns: shown.length - real.length });
    byId('reports').replaceChildren(...shown.map(reportRow));
    byId('reports-panel').hidden = shown.length === 0;
    redrawChart();
}

function showFailure([headline, advice]) {
    const notice = element('div', 'notice', element('strong', '', headline), ' ', advice);
    // An unchanged alert must not be announced again.
    if (byId('alert').textContent !== notice.textContent) byId('alert').replaceChildren(notice);
}
