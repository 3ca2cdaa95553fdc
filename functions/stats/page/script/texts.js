// Texts of the page, as functions of the responses.

const deletedBy = (it) => it.sessions_deleted + it.refresh_tokens_deleted + it.blacklisted_tokens_deleted;

/** Replaces bidirectional control characters in text from outside, which could reorder the text around it. */
const others = (text) => text.replace(/\p{Bidi_Control}/gu, '\ufffd');

function startedBy({ trigger, requested_by: user }) {
    if (trigger === 'schedule') return 'schedule';
    return trigger === 'api' ? others(user ?? 'API') : 'manual';
}

/** Keys of the records that the table rejected, if the report names them. */
const rejectedBy = (report) => (report.failed_records ?? []).map(others);

/** Details of a run that need no action. */
function asides(report) {
    const counted = [['revoked', report.sessions_revoked], ['reindexed', report.reindexed],
        ['changed elsewhere', report.changed_elsewhere], ['adopted', report.adopted]]
        .filter(([, count]) => count > 0).map(([name, count]) => `${formatNumber(count)} ${name}`);
    const percent = report.adoption_percent;
    return percent == null ? counted : [...counted, `adoption at ${formatNumber(percent)} % of the table`];
}

/**
 * Outcome of a run, in the same words everywhere. `signs` contains those of `failed`, `attention` (malformed
 * records, which need manual correction) and `incomplete` that apply. `parts` are the words, each with its kind, `also`
 * has the details, and `said` is the whole text.
 */
function outcome(report) {
    const rejected = Math.max(report.failed, rejectedBy(report).length);
    const failed = Boolean(report.error) || rejected > 0;
    const malformed = report.malformed > 0 ? `${formatNumber(report.malformed)} malformed` : '';
    const signs = [[failed, 'failed'], [malformed, 'attention'], [!report.complete, 'incomplete']]
        .filter(([applies]) => applies).map(([, sign]) => sign);
    const ended = report.complete ? 'Complete' : 'Incomplete';
    const failure = `${rejected > 0 ? `Failed on ${plural(rejected, 'record')}` : 'Failed'}${report.complete ? '' : ', incomplete'}`;
    const parts = failed ? [['failed', failure], ...(malformed ? [['attention', malformed]] : [])]
        : [[signs[0] ?? 'complete', malformed ? `${ended}, ${malformed}` : ended]];
    const also = asides(report);
    return {
        signs,
        parts: parts.map(([kind, words]) => ({ kind, words })),
        also: also.join(', '),
        said: [...parts.map(([, words]) => words), ...also].join(', ').toLowerCase(),
        reason: report.error ?? '',
    };
}

function malformedSentence({ malformed_records: malformed = 0 }) {
    if (malformed === 0) return '';
    return malformed === 1
        ? '1 record is malformed, and cleanups skip it. The log of a cleanup has its key. Correct it, then run the cleanup with adopt.'
        : `${formatNumber(malformed)} records are malformed, and cleanups skip them. The logs of the cleanups have their keys. `
            + 'Correct them, then run the cleanup with adopt.';
}

const timeOf = (text) => (typeof text === 'string' ? Date.parse(text) : NaN);
const startOf = (run) => Date.parse(run.started_at);

// DynamoDB updates its item count about every six hours.
const COUNT_AGE_MS = 6 * 3_600_000;

/** Number of items outside the due index, or 0 if they are at most 1 %, because DynamoDB's counts may be old. */
function unseenItems({ unindexed_items: unindexed, table_items: items }) {
    const many = Number.isFinite(unindexed) && unindexed > 0 && unindexed > (Number.isFinite(items) ? items : 0) / 100;
    return many ? unindexed : 0;
}

/** Sentence about the items outside the due index, to follow a colon, or an empty string. */
function unseenSentence(statistics) {
    const unseen = unseenItems(statistics);
    if (unseen === 0) return '';
    const [are, them] = unseen === 1 ? ['is', 'it'] : ['are', 'them'];
    return `about ${plural(unseen, 'item')} of this table ${are} on no list, so no cleanup and none of these figures see ${them} `
        + '(DynamoDB’s own count, up to six hours old).';
}

/** Advice about those items. DynamoDB's count shows an adoption only later, so a recent adoption is not advised again. */
function adoptWords(reports, now) {
    const adoption = reports.find((it) => !it.dry_run && it.adopted > 0 && now - startOf(it) < COUNT_AGE_MS);
    if (!adoption) {
        return ['Run the cleanup once with {"adopt": true}.', 'In the console of AWS Lambda: the cleanup function, tab Test. '
            + 'The event {"adopt": true, "dry_run": true} shows first what it would do.'];
    }
    return ['', `A cleanup adopted ${plural(adoption.adopted, 'record')} ${duration((now - startOf(adoption)) / 1_000, 1)} ago; `
        + 'DynamoDB may not have counted them yet.'];
}

/** Answer to “Is a cleanup needed?”, further advice, and whether the answer is a warning. */
function needView(statistics, reports, now) {
    const { expired_sessions: expired, oldest_expired_age_seconds: age } = statistics;
    const unseen = unseenSentence(statistics);
    const [adopt, advice] = unseen ? adoptWords(reports, now) : ['', ''];
    const sentences = [];
    if (expired > 0) {
        sentences.push(expired === 1 ? 'Yes: 1 session has expired and is still active.'
            : `Yes: ${formatNumber(expired)} sessions have expired and are still active.`);
        if (age !== null && age !== undefined) sentences.push(`The oldest expired ${duration(age)} ago.`);
        if (unseen) sentences.push(`Besides, ${unseen}`);
    } else {
        sentences.push(unseen ? `Not known: ${unseen}`
            : 'No: no session has to be deactivated. A dry run shows what else is due for deletion.');
    }
    return { need: [...sentences, adopt].filter(Boolean).join(' '), advice, needed: expired > 0 || unseen !== '' };
}

// Tolerance: schedules are not exact, and a run takes time before its report is stored.
const LATE_MS = 5 * 60_000;

/** Note about the items that a dry run or a cleanup does not see. */
function unseenNote(statistics, reports, now) {
    const unseen = unseenSentence(statistics);
    const [adopt, advice] = adoptWords(reports, now);
    return unseen && `Not counted: ${unseen} ${adopt || advice}`;
}

/** Due time of the next cleanup, as a text and as the end of a sentence about the first cleanup, or null. */
function nextView({ next_cleanup: next }, now) {
    const left = timeOf(next) - now;
    if (Number.isNaN(left)) return null;
    const minutes = duration(Math.round(Math.abs(left) / 60_000) * 60);
    if (left < -LATE_MS) return { words: `late: was due ${minutes} ago`, first: `was due ${minutes} ago`, isLate: true };
    if (left <= 0) return { words: 'due now', first: 'is due now', isLate: false };
    const words = `in ${left > 60_000 ? minutes : 'less than a minute'}`;
    return { words, first: `comes ${words}`, isLate: false };
}

const UNITS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Milliseconds between two runs of a `rate(…)` schedule; null for `cron(…)`, which has no fixed period. */
function periodOf(schedule) {
    const [, count, unit] = /^rate\((\d+) (second|minute|hour|day)s?\)$/.exec(schedule ?? '') ?? [];
    return Number(count) > 0 ? count * UNITS[unit] : null;
}

function scheduleWords(schedule) {
    const period = periodOf(schedule);
    if (period === null) return typeof schedule === 'string' ? others(schedule) : '';
    return `every ${duration(period / 1_000).replace(/^1 /, '')}`;
}

function statisticsView(it, reports, now) {
    const last = it.last_cleanup;
    const ago = last && (now - startOf(last)) / 1_000;
    const next = nextView(it, now);
    const unknown = 'Not yet, or its report is gone';
    return {
        ...needView(it, reports, now),
        live: formatNumber(it.active_sessions - it.expired_sessions),
        expired: formatNumber(it.expired_sessions),
        isExpired: it.expired_sessions > 0,
        inactive: formatNumber(it.inactive_sessions),
        malformed: malformedSentence(it),
        total: formatNumber(it.total_sessions),
        totalNote: unseenItems(it) > 0 ? 'sessions on the lists' : 'sessions in the table',
        oldest: it.oldest_expired_age_seconds == null ? 'None' : duration(it.oldest_expired_age_seconds),
        oldestNote: it.oldest_expired_age_seconds == null ? '' : 'past its end',
        last: last?.started_at ?? null,
        lastNote: last ? `${ago < 1 ? 'just now' : `${duration(ago, 1)} ago`}, by ${startedBy(last)}: `
            : next && reports.length === 0 ? `Not yet: the first ${next.first}` : unknown,
        lastOutcome: last ? outcome(last) : null,
        next,
        nextNote: scheduleWords(it.schedule),
    };
}

const total = (runs, count) => runs.reduce((sum, run) => sum + count(run), 0);

/** Summary of several runs: of the whole chart, or of the runs that share a bar. */
function together(runs) {
    const [first, last] = [runs[0], runs.at(-1)].map((run) => new Date(run.started_at));
    const sums = Object.fromEntries(['sessions_revoked', 'reindexed', 'changed_elsewhere', 'adopted']
        .map((name) => [name, total(runs, (it) => it[name] ?? 0)]));
    const marked = (sign) => runs.filter((run) => outcome(run).signs.includes(sign)).length;
    const sentences = [`${plural(runs.length, 'run')}, ${between(first, last, 'to')}: `
        + `${plural(total(runs, (it) => it.sessions_deactivated), 'session')} deactivated, `
        + `${plural(total(runs, deletedBy), 'record')} deleted.`];
    if (marked('failed')) sentences.push(`${plural(marked('failed'), 'run')} failed.`);
    if (marked('incomplete')) sentences.push(`${plural(marked('incomplete'), 'run')} incomplete.`);
    if (marked('attention')) {
        sentences.push(`${plural(total(runs, (it) => it.malformed ?? 0), 'record')} malformed, in ${plural(marked('attention'), 'run')}.`);
    }
    const also = asides(sums);
    if (also.length > 0) sentences.push(`Also ${also.join(', ')}.`);
    return sentences.join(' ');
}

const NAMED_GAPS = 3;

function gapWords({ from, to, isOpen, hasOthers }) {
    const what = hasOthers ? 'No scheduled run' : 'No run';
    return isOpen ? `${what} since ${formatTime(from)}.` : `${what} between ${between(from, to, 'and')}.`;
}

function chartSummary(runs, dryRuns, gaps) {
    if (runs.length === 0) return '';
    const parts = [together(runs), ...gaps.slice(-NAMED_GAPS).map(gapWords)];
    if (gaps.length > NAMED_GAPS) parts.push(`Before, ${plural(gaps.length - NAMED_GAPS, 'more gap')}.`);
    if (dryRuns) parts.push(`Left out: ${plural(dryRuns, 'dry run')}.`);
    return `${parts.join(' ')} Each bar is at the time of its run. The table below has the same figures.`;
}

/** Text of a bar: its run, or a summary of the runs that share it. */
function readout(runs) {
    const [run] = runs;
    return runs.length > 1 ? together(runs) : `${formatTime(new Date(run.started_at))}, by ${startedBy(run)}: `
        + `${formatNumber(run.sessions_deactivated)} deactivated, ${formatNumber(deletedBy(run))} deleted, ${outcome(run).said}`;
}

/** Notes below the counts of a report. */
function notes(report) {
    const say = (count, sentence) => (count > 0 ? [sentence(plural(count, 'record'))] : []);
    return [
        ...(report.error ? [`The run failed: ${report.error}`] : []),
        ...say(report.failed, (it) => `${it} could not be changed. The next run tries again. The log has the reason.`),
        ...rejectedBy(report).map((key) => `The table rejected a write to ${key}`),
        ...say(report.malformed, (it) => (report.malformed === 1
            ? `${it} is malformed. Its attributes stay unchanged. The log has its key.`
            : `${it} are malformed. Their attributes stay unchanged. The log has the first 20 keys.`)),
        ...say(report.changed_elsewhere, (it) => `${it} had been changed by another writer in the meantime.`),
        ...say(report.reindexed, (it) => `${it} had a wrong entry in the index, which ${
            report.dry_run ? 'a cleanup repairs' : 'was repaired'}.`),
    ];
}

const counts = (report, [deactivated, deleted]) => [
    [`Sessions ${deactivated}`, report.sessions_deactivated],
    [`Inactive sessions ${deleted}`, report.sessions_deleted],
    [`Expired refresh tokens ${deleted}`, report.refresh_tokens_deleted],
    [`Expired blacklisted tokens ${deleted}`, report.blacklisted_tokens_deleted],
].map(([name, count]) => [name, formatNumber(count)]);

/** Sum of several runs, if one run could not finish the work. */
function addUp(reports) {
    const total = { ...reports.at(-1) };
    for (const name of [...COUNTS, 'changed_elsewhere', 'reindexed', 'failed']) {
        total[name] = reports.reduce((sum, it) => sum + (it[name] ?? 0), 0);
    }
    // Consecutive runs can count the same malformed records, so they are not added up.
    total.malformed = Math.max(...reports.map((it) => it.malformed ?? 0));
    total.failed_records = [...new Set(reports.flatMap((it) => it.failed_records ?? []))];
    return total;
}

/** Content of the dialog of a cleanup. `phase` is `counting`, `counted`, `working`, `done` or `failed`. */
function cleanupView({ phase, dryRunOnly, preview, reports, failure, doing, unseen }) {
    const title = dryRunOnly ? 'Dry run' : 'Clean up';
    const view = { title, busy: false, counts: [], notes: [], close: 'Close', confirm: null };
    const besides = unseen ? [unseen] : [];
    if (phase === 'counting') {
        return { ...view, busy: true, close: 'Cancel', status: 'Counting what a cleanup would do. Nothing is changed.' };
    }
    if (phase === 'counted') {
        // A malformed record is moved off the due list, which is a change, too.
        const nothing = preview.complete && [...COUNTS, 'malformed', 'reindexed'].every((name) => (preview[name] ?? 0) === 0);
        const shown = { ...view, notes: [...notes(preview), ...besides],
            counts: nothing ? [] : counts(preview, ['to deactivate', 'to delete']) };
        if (!preview.complete) shown.notes.unshift('The time ran out before all was counted: there may be more to do.');
        if (nothing) {
            return { ...shown, status: unseen ? 'Of what is on the lists, nothing is due. Whether a cleanup is needed is not known.'
                : 'Nothing is due. A cleanup now would change nothing.' };
        }
        if (dryRunOnly) return { ...shown, status: 'A cleanup now would do this. Nothing has been changed.' };
        return { ...shown, status: 'This is what it would do now. Nothing has been changed yet. '
            + 'What is deleted does not come back.', close: 'Cancel', confirm: 'Clean up now' };
    }
    if (phase === 'working') {
        return { ...view, busy: true, close: null, status: 'Cleaning up. It continues if you close this page.' };
    }
    const done = reports.length ? addUp(reports) : null;
    if (phase === 'done') {
        const last = reports.at(-1);
        return { ...view, counts: counts(done, ['deactivated', 'deleted']), notes: [...notes(done), ...besides],
            confirm: last.complete ? null : 'Go on',
            status: last.complete ? (outcome(done).signs.includes('failed') ? 'The cleanup is through, but not all went well.'
                : `Done in ${took(last.duration_ms)}.${done.malformed > 0 ? ' Correct the malformed records.' : ''}`)
                : 'The time ran out with work left. What is counted here is done; go on for the rest, '
                    + 'or leave it to the next scheduled run.' };
    }
    return { ...view, status: failureWords(failure, doing).join(' '),
        counts: done ? counts(done, ['deactivated', 'deleted']) : [] };
}

/** Name of a member of the API, in words. */
const fieldName = (name) => name.replace(/_ms$/, '').replaceAll('_', ' ');

/** Value of a member of the API, in words. A time is local and in UTC. */
function fieldText(name, value) {
    if (value === null || value === undefined) return '–';
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    if (typeof value === 'number') return name.endsWith('_ms') ? took(value) : formatNumber(value);
    if (Array.isArray(value)) return value.map((it) => others(String(it))).join(', ');
    if (name.endsWith('_at') && !Number.isNaN(timeOf(value))) {
        return `${formatLocal(new Date(value))} (${LOCAL_ZONE}), ${formatUtc(value)}`;
    }
    return others(typeof value === 'string' ? value : JSON.stringify(value));
}
