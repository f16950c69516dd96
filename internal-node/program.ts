/**
 * All verbs of `sallyport`. Each family of them is loaded when its name is the first word: staff call many verbs an hour, and
 * most need little of what the node needs.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Program, type Surroundings } from '../shared/admin/cli.ts';
import { systemClock } from '../shared/clock.ts';
import { findConfig } from '../shared/config/find.ts';
import type { ServeDeps } from './serving.ts';

interface VerbFamily {
  /** First words, as typed. */
  readonly words: readonly string[];
  add(program: Program, deps: ServeDeps): Promise<void>;
}

/** A repeated `init` finds the key of the run that was cut short. */
async function ensureSealingIdentity(keysFolder: string): Promise<void> {
  const { loadSealingIdentity, makeSealingIdentity } = await import('./keys/sealing-identity.ts');
  if (existsSync(join(keysFolder, 'sealing.key'))) await loadSealingIdentity(keysFolder);
  else await makeSealingIdentity(keysFolder, systemClock);
}

/** In the order of the help. */
export const verbFamilies: readonly VerbFamily[] = [
  {
    words: ['init', 'connect', 'config', 'fingerprint'],
    add: async (program) => {
      const [{ addSetupVerbs }, { checkHost }] = await Promise.all([import('./admin/verbs-setup.ts'), import('./host-check.ts')]);
      addSetupVerbs(program, { checkHost, makeSealingIdentity: ensureSealingIdentity });
    },
  },
  { words: ['serve', 'unit'], add: async (program, deps) => (await import('./serving.ts')).addServeVerbs(program, deps) },
  {
    words: ['join'],
    add: async (program) => {
      const [{ addJoinVerb }, { enrol }] = await Promise.all([import('./admin/verb-join.ts'), import('./tunnel/enrol.ts')]);
      addJoinVerb(program, {
        enrol: (invitation, { address, ...options }, signal) =>
          enrol(invitation, { ...address, ...options, nowMs: systemClock.nowMs() }, signal),
      });
    },
  },
  {
    words: ['cert'],
    add: async (program) => {
      const [{ addCertVerbs }, { loadMainSettings }, { nodeClient }] = await Promise.all([
        import('../shared/admin/verbs-cert.ts'),
        import('./config.ts'),
        import('./node-client.ts'),
      ]);
      addCertVerbs(program, {
        locate: async (context) => {
          const { admin, keys } = await loadMainSettings(context.configFile);
          return { client: nodeClient(context, admin.socket), keys };
        },
      });
    },
  },
  { words: ['status'], add: async (program) => (await import('./admin/verb-status.ts')).addStatusVerb(program) },
  { words: ['partner'], add: addPartnerFamily },
  { words: ['auth'], add: async (program) => (await import('./admin/verbs-auth.ts')).addAuthVerbs(program) },
  { words: ['bans'], add: async (program) => (await import('./admin/verbs-bans.ts')).addBanVerbs(program) },
  { words: ['exposed'], add: async (program) => (await import('./admin/verb-exposed.ts')).addExposedVerb(program) },
  {
    words: ['login', 'logout', 'whoami'],
    add: async (program) => (await import('./admin/verb-login.ts')).addLoginVerbs(program),
  },
  {
    words: ['ls', 'pull', 'push', 'trace'],
    add: async (program) => (await import('./admin/verbs-files.ts')).addFileVerbs(program),
  },
  {
    words: ['destination', 'retry'],
    add: async (program) => (await import('./admin/verbs-destination.ts')).addDestinationVerbs(program),
  },
  {
    words: ['redteam'],
    add: async (program) => {
      const [{ addRedteamVerb }, { readSmallFile }] = await Promise.all([
        import('./redteam/verb.ts'),
        import('./admin/read-small-file.ts'),
      ]);
      const run = async (...given: Parameters<typeof import('./redteam/session.ts').redteam>) =>
        (await import('./redteam/session.ts')).redteam(...given);
      addRedteamVerb(program, { read: readSmallFile, run });
    },
  },
  {
    words: ['can-i', 'rules'],
    add: async (program) => (await import('./admin/verbs-explain.ts')).addExplainVerbs(program),
  },
  { words: ['plan', 'apply'], add: async (program) => (await import('./admin/verbs-apply.ts')).addApplyVerbs(program) },
  {
    words: ['firewall'],
    add: async (program) => (await import('./admin/verbs-firewall.ts')).addFirewallVerbs(program),
  },
  {
    words: ['prove'],
    add: async (program) => {
      const [{ addProofVerbs }, { loadSealingIdentity }] = await Promise.all([
        import('./proof/verbs.ts'),
        import('./keys/sealing-identity.ts'),
      ]);
      addProofVerbs(program, { sealingKey: loadSealingIdentity });
    },
  },
];

async function addPartnerFamily(program: Program): Promise<void> {
  const [
    { addPartnerVerbs },
    { addTotpVerb },
    { addCertificateVerb },
    { addInviteVerb },
    { addSheetVerb },
    { PasswordHasher, deriveArgon2id },
  ] = await Promise.all([
    import('./admin/verbs-partner.ts'),
    import('./admin/verb-totp.ts'),
    import('./admin/verb-certificate.ts'),
    import('./admin/verb-invite.ts'),
    import('./admin/verb-sheet.ts'),
    import('./auth/password-hash.ts'),
  ]);
  const hasher = new PasswordHasher({ derive: deriveArgon2id });
  const partners = program.group('partner', 'add and list partners, set their passwords and second factors');
  addPartnerVerbs(program, partners, {
    hashPassword: (password) => hasher.hash(password),
    isPassword: (password, hash) => hasher.verify(password, hash),
  });
  addTotpVerb(program, partners);
  addCertificateVerb(program, partners);
  addInviteVerb(program, partners);
  addSheetVerb(program, partners);
}

/** The command without a verb yet. */
export const emptyProgram = (surroundings: Surroundings): Program =>
  new Program(surroundings, {
    name: 'sallyport',
    summary: 'The internal node of Sallyport: dials out to the DMZ node, fetches and delivers files, decides who may log in.',
    findConfig: (named, env) =>
      findConfig({ named, env, variable: 'SALLYPORT_CONFIG', folder: 'sallyport', fileName: 'sallyport.yaml' }),
  });

/**
 * Runs one command line, without the program's own name. A first word that is no verb loads all of them: for the help, and
 * for what to say of an unknown one.
 * @returns the exit code; never throws for what the command line asks.
 */
export async function runCommand(args: readonly string[], surroundings: Surroundings, deps: ServeDeps): Promise<number> {
  const program = emptyProgram(surroundings);
  const named = verbFamilies.filter(({ words }) => words.includes(args[0] ?? ''));
  for (const family of named.length > 0 ? named : verbFamilies) await family.add(program, deps);
  return program.run(args);
}
