// The table of reports, with its filter.

const OLDER_REPORTS = 50;
// With a filter by trigger, a page of the API may be empty.
const MOST_EMPTY_PAGES = 5;

// The reports of the table. It begins as the runs of the chart; a filter or older reports make it a list of its own.
const PLAIN = { filter: {}, isOwn: false, reports: [], next: null };
let list = PLAIN;
// Rows by the text of their report. A report never changes.
let rows = new Map();

function reportRow(report) {
    const went = outcome(report);
    const started = element('th', '', timeElement(report.started_at));
    started.scope = 'row';
    const result = cell('Outcome', 'outcome', ...outcomeElements(went));
    if (report.dry_run) result.prepend(element('span', 'tag', 'Dry run'), ' ');
    for (const words of [went.reason, went.also]) if (words) result.append(element('span', 'reason', words));
    const rejected = rejectedBy(report);
    if (rejected.length > 0) {
        const keys = element('ul', '', ...rejected.map((key) => element('li', '', key)));
        result.append(element('details', 'reason', element('summary', '', `${plural(rejected.length, 'record')} rejected by the table`), keys));
    }
    const numbers = [['Sessions deactivated', report.sessions_deactivated], ['Deleted', deletedBy(report)],
        ['Sessions deleted', report.sessions_deleted], ['Refresh tokens deleted', report.refresh_tokens_deleted],
        ['Blacklisted tokens deleted', report.blacklisted_tokens_deleted]].map(([name, count]) => [name, formatNumber(count)]);
    numbers.push(['Took', took(report.duration_ms)]);
    const open = button('Details', `Details of the run of ${started.textContent}`, () => showDetails('Report', report, 'run_id'));
    return element('tr', report.dry_run ? 'dry' : '', started, cell('By', 'by', startedBy(report)), result,
        ...numbers.map(([name, text]) => cell(name, 'number', text)), cell('', 'buttons', open));
}

function showReports(reports, next) {
    const real = reports.filter((it) => !it.dry_run).slice(0, CHARTED_RUNS);
    // The table starts at the same run as the chart, so that it can replace the chart.
    const shown = real.length < CHARTED_RUNS ? reports : reports.slice(0, reports.indexOf(real.at(-1)) + 1);
    Object.assign(known, { reports, next, charted: real.toReversed(), dryRuns: shown.length - real.length });
    if (list.isOwn) addToList(reports);
    else list = { ...PLAIN, reports: shown, next };
    showList();
    redrawChart();
}

function matches({ trigger, started_at: started }, filter) {
    const time = Date.parse(started);
    return (!filter.trigger || trigger === filter.trigger) && !(time < Date.parse(filter.from)) && !(time >= Date.parse(filter.to));
}

/** Reports of the last refresh that the table does not show. */
const hidden = () => (list.isOwn ? [] : known.reports.slice(list.reports.length));

function addToList(reports) {
    const all = new Map([...reports.filter((it) => matches(it, list.filter)), ...list.reports].map((it) => [it.run_id, it]));
    list.reports = [...all.values()].toSorted((a, b) => startOf(b) - startOf(a));
}

function showList() {
    const kept = rows;
    rows = new Map();
    for (const report of list.reports) {
        const text = JSON.stringify(report);
        rows.set(text, kept.get(text) ?? reportRow(report));
    }
    setRows(byId('reports'), [...rows.values()]);
    byId('reports-panel').hidden = known.reports.length === 0 && !list.isOwn;
    byId('older-reports').hidden = !list.next && hidden().length === 0;
}

const sayListed = () =>
    setText('reports-status', `${plural(list.reports.length, 'report')} shown${list.next ? '' : ': these are all'}.`);

/** Makes a call for the table of reports, and says in the status line if it fails. */
async function forReports(makeCall) {
    const mine = visit;
    setText('reports-status', 'Reading the reports …');
    byId('reports-status').className = 'quiet';
    try {
        await makeCall(() => mine === visit);
    } catch (failure) {
        if (!(failure instanceof CallFailed)) throw failure;
        if (mine !== visit) return;
        const words = failureWords(failure, 'show');
        if (failure.status === 401) showSignIn(words);
        setText('reports-status', words.join(' '));
        byId('reports-status').className = 'failed';
    }
}

/** Reads the next page into a list, unless another list is shown by then. */
const readOlder = (into) => forReports(async (isCurrent) => {
    for (let page = 0; page < MOST_EMPTY_PAGES; page += 1) {
        const answer = await api.reportPage({ ...into.filter, limit: OLDER_REPORTS, cursor: into.next });
        if (!isCurrent() || list !== into) return;
        list.next = answer.next;
        addToList(answer.reports);
        if (!answer.next || answer.reports.length > 0) break;
    }
    showList();
    sayListed();
});

async function showOlderReports() {
    const last = list.reports.length;
    const more = hidden();
    if (!list.isOwn) list = { ...list, isOwn: true };
    if (more.length > 0) {
        addToList(more);
        showList();
        sayListed();
    } else await readOlder(list);
    focusRow('reports', last, 'older-reports');
}

/** Focuses the first new row if the button that added it is gone. */
function focusRow(table, index, buttonId) {
    if (byId(buttonId).hidden) byId(table).children[Math.min(index, byId(table).children.length - 1)]?.querySelector('button')?.focus();
}

function readFilter() {
    const [from, to] = ['from', 'to'].map((id) => timeOfInput(byId(id).value)?.toISOString() ?? '');
    return { trigger: byId('trigger').value, from, to };
}

async function filterReports(event) {
    event.preventDefault();
    const filter = readFilter();
    const isFiltered = Object.values(filter).some(Boolean);
    list = isFiltered ? { filter, isOwn: true, reports: [], next: null } : PLAIN;
    if (isFiltered) {
        await readOlder(list);
        return;
    }
    showReports(known.reports, known.next);
    setText('reports-status', '');
}

const downloadCsv = () => forReports(async (isCurrent) => {
    const { text, isAll } = await api.csv(list.filter);
    if (!isCurrent()) return;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
    link.download = 'cleanups.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    setText('reports-status', isAll ? 'The file has all reports of this filter.'
        : `The file has the newest ${formatNumber(MOST_CSV_PAGES * 100)} reports. Limit the time to get others.`);
});
