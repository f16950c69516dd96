/** The command behind `scripts/crashstep`. Prints one line of JSON; exit 0 only when everything holds. */
import { parseArgs } from 'node:util';
import { actions, CrashStep } from '../test/crash/crashstep.ts';
import { calls, threads } from '../test/crash/injection.ts';

const { values } = parseArgs({
  options: {
    actions: { type: 'string', default: actions.join(',') },
    threads: { type: 'string', default: threads.join(',') },
    calls: { type: 'string', default: calls.join(',') },
    most: { type: 'string', default: '25' },
  },
});

function chosen<T extends string>(known: readonly T[], text: string): T[] {
  return text.split(',').map((word) => {
    const found = known.find((one) => one === word);
    if (found === undefined) throw new Error(`"${word}" is none of ${known.join(', ')}`);
    return found;
  });
}

await using walk = await CrashStep.start((line) => void process.stderr.write(`${line}\n`));
for (const action of chosen(actions, values.actions)) {
  for (const thread of chosen(threads, values.threads)) {
    for (const call of chosen(calls, values.calls)) {
      for (let n = 1; n <= Number(values.most); n += 1) if (!(await walk.step({ action, thread, call, n }))) break;
    }
  }
}
const result = await walk.end();
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.faults.length === 0 ? 0 : 1;
