// Takes the screenshots of the page in docs/topics/: a service with hourly cleanups, 40 minutes after the last one. Three
// runs are missing, and one found malformed records.

import { open, visit } from './browser.mjs';
import { overrideStatistics, storeActiveSessions, storeInactiveSessions, storeReports, twoDaysOfReports } from './stack.mjs';

const MINUTE = 60;
const LIVE = Array.from({ length: 1_280 }, (_, index) => (5 + ((index * 7) % 470)) * MINUTE);
const EXPIRED = Array.from({ length: 14 }, (_, index) => -(1 + ((index * 17) % 39)) * MINUTE);
const INACTIVE = Array.from({ length: 2_431 }, (_, index) => (30 + ((index * 16) % 41_000)) * MINUTE);

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
    for (const [name, options] of [
        ['light', { colorScheme: 'light', viewport: { width: 1_200, height: 1_360 } }],
        ['dark', { colorScheme: 'dark', viewport: { width: 1_200, height: 1_360 } }],
        ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true }],
    ]) {
        const visited = await visit(world, options);
        await overrideStatistics(visited.page, {
            schedule: 'rate(1 hour)', next_cleanup: new Date(Date.now() + 20 * MINUTE * 1_000).toISOString(),
            table_items: 4_310, unindexed_items: 0,
        });
        await visited.signIn(world.stack.tokens.admin);
        await visited.waitForNumbers();
        await visited.page.screenshot({ path: `${docs}page-${name}.png` });
        await visited.context.close();
    }
} finally {
    await world.close();
}
