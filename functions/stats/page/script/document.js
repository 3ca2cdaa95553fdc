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
    // The time zone that is not selected.
    shown.title = isUtc ? `${formatLocal(time)}, ${LOCAL_ZONE}` : formatUtc(time);
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

/** A cell of a table. On a phone, the label is in front of it. */
function cell(label, className, ...children) {
    const made = element('td', className, ...children);
    made.dataset.label = label;
    return made;
}

function button(words, name, act) {
    const made = element('button', 'small', words);
    made.type = 'button';
    made.setAttribute('aria-label', name);
    made.addEventListener('click', act);
    return made;
}

/** Replaces the rows of a table. Rows that stay are not moved, so that they keep the focus. */
function setRows(body, rows) {
    rows.forEach((row, index) => {
        if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
    });
    while (body.children.length > rows.length) body.lastChild.remove();
}

/** Shows all fields of an object of the API. `id` is the first, and the one to copy. */
function showDetails(title, object, id) {
    setText('details-heading', title);
    const fields = [[id, object[id]], ...Object.entries(object).filter(([name]) => name !== id)];
    byId('details-fields').replaceChildren(...fields.map(([name, value]) =>
        element('div', '', element('dt', '', fieldName(name)), element('dd', '', fieldText(name, value)))));
    setText('details-status', '');
    setText('details-copy', `Copy ${fieldName(id)}`);
    byId('details-copy').onclick = () => navigator.clipboard.writeText(object[id]).then(
        () => setText('details-status', 'Copied.'),
        () => setText('details-status', `The browser does not allow it. Copy it from the list: ${object[id]}`),
    );
    byId('details').showModal();
    byId('details-heading').focus();
}

function showCaller() {
    const caller = known.statistics?.caller;
    const { words, isEnding } = tokenView(caller, api.expiry(), Date.now());
    setText('caller', caller ? others(caller.user_id) : '');
    byId('caller').title = byId('caller').textContent;
    setText('token-life', words);
    byId('token-life').classList.toggle('ending', isEnding);
    const stack = others(known.statistics?.stack ?? '');
    setText('stack', stack);
    byId('stack').hidden = !stack;
    document.title = stack ? `${stack} – Session Cleanup` : 'Session Cleanup';
}

// Whether the token may change anything. Null before the first answer.
let mayChange = null;

/** Enables what changes something, unless the token may only read. */
function allowChanges(allowed) {
    mayChange = allowed;
    const isReader = known.statistics?.caller?.is_admin === false;
    for (const reason of document.querySelectorAll('.read-only')) reason.hidden = !isReader;
    for (const it of document.querySelectorAll('#dry-run, #clean-up, #revoke-all, .revoke')) it.disabled = !mayChange;
}

// The last data that was read with this token.
const NOTHING = { statistics: null, reports: [], next: null, charted: [], dryRuns: 0 };
let known = { ...NOTHING };
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
    // The pointer may leave because the page scrolls: a run that the keyboard selected stays.
    const point = (event) => choose(event.type === 'pointerleave' ? (document.activeElement === chooser ? Number(chooser.value) : -1)
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

function showFailure([headline, advice]) {
    const notice = element('div', 'notice', element('strong', '', headline), ' ', advice);
    // An unchanged alert must not be announced again.
    if (byId('alert').textContent !== notice.textContent) byId('alert').replaceChildren(notice);
}
