// Takes the screenshots of the page in docs/topics/: a service with hourly cleanups, 40 minutes after the last one, and
// the sessions of one user. Three runs are missing, and one found malformed records.

import { open, visit } from './browser.mjs';
import {
    overrideStatistics, storeActiveSessions, storeInactiveSessions, storeReports, storeUserSessions, twoDaysOfReports,
} from './stack.mjs';

const MINUTE = 60;
const LIVE = Array.from({ length: 1_280 }, (_, index) => (5 + ((index * 7) % 470)) * MINUTE);
const EXPIRED = Array.from({ length: 14 }, (_, index) => -(1 + ((index * 17) % 39)) * MINUTE);
const INACTIVE = Array.from({ length: 2_431 }, (_, index) => (30 + ((index * 16) % 41_000)) * MINUTE);

const ago = (minutes) => Math.floor(Date.now() / 1_000) - minutes * MINUTE;
const SESSIONS = [
    { created_at: ago(9_000), ip_address: '192.0.2.44', inactive: 'logout',
        user_agent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36' },
    { created_at: ago(2_100), ip_address: '203.0.113.9', last_used_at: ago(131), user_agent: 'Shop/4.2 (Android 15)' },
    { created_at: ago(310), ip_address: '192.0.2.17', last_used_at: ago(4),
        user_agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' },
];

const docs = new URL('../../docs/topics/', import.meta.url).pathname;
const world = await open('--empty');
try {
    const reports = twoDaysOfReports(Date.now() - 40 * MINUTE * 1_000);
    Object.assign(reports[46], { malformed: 3 });
    Object.assign(reports[45], { reindexed: 2, changed_elsewhere: 1 });
    reports.splice(26, 3);
    await storeReports(world.stack, reports);
    await storeActiveSessions(world.stack, [...LIVE, ...EXPIRED]);
    await storeInactiveSessions(world.stack, INACTIVE);
    await storeUserSessions(world.stack, 'ann', SESSIONS);
    for (const [name, options] of [
        ['light', { colorScheme: 'light', viewport: { width: 1_200, height: 1_560 } }],
        ['dark', { colorScheme: 'dark', viewport: { width: 1_200, height: 1_560 } }],
        ['phone', { colorScheme: 'light', viewport: { width: 390, height: 1_640 }, deviceScaleFactor: 2, isMobile: true }],
    ]) {
        const visited = await visit(world, options);
        await overrideStatistics(visited.page, {
            schedule: 'rate(1 hour)', next_cleanup: new Date(Date.now() + 20 * MINUTE * 1_000).toISOString(),
            table_items: 4_310, unindexed_items: 0, stack: 'session-cleanup',
        });
        await visited.signIn(world.stack.tokens.admin);
        await visited.waitForNumbers();
        await visited.page.getByLabel('Inactive sessions, too').check();
        await visited.page.getByLabel('User id').fill('ann');
        await visited.press('Find');
        await visited.waitForText('2 live sessions, 1 inactive.');
        // Without the focus, and from the top.
        await visited.page.evaluate(() => { document.activeElement.blur(); window.scrollTo(0, 0); });
        await visited.page.screenshot({ path: `${docs}page-${name}.png` });
        await visited.context.close();
    }
} finally {
    await world.close();
}
