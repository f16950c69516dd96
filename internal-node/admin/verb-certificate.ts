/**
 * `partner certificate`: registers a TLS client certificate of a partner by its fingerprint. It is read from PEM, DER or PKCS#12; a
 * private key that comes with it is never stored.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSeq } from 'yaml';
import { askSecret } from '../../shared/admin/ask.ts';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { pkcs12Bytes, readPkcs12 } from '../../shared/pki/pkcs12.ts';
import { Secret } from '../../shared/secret.ts';
import { loadInternalSettings } from '../config.ts';
import { partSchema } from '../config-schema.ts';
import { editYaml } from './edit-config.ts';
import { unknownPartner } from './partner-change.ts';
import { readSmallFile } from './read-small-file.ts';
import { reload } from './reload.ts';

interface CertificateOptions {
  readonly passwordFile?: string;
}

export function addCertificateVerb(program: Program, group: ReturnType<Program['group']>): void {
  program.verb<CertificateOptions>(
    {
      usage: 'certificate <name> <file>',
      summary: 'register a TLS client certificate (PEM, DER or PKCS#12) of a partner',
      examples: ['partner certificate acme acme.pem', 'partner certificate acme acme.p12 --password-file - < password'],
    },
    (command) =>
      command.option(
        '--password-file <file>',
        'file with the password of a PKCS#12 file on its first line, - for standard input',
      ),
    async (context, { passwordFile }, [name = '', file = '']) => {
      const settings = await loadInternalSettings(context.configFile);
      const partner = settings.partners[name];
      if (!partner) throw unknownPartner(name, Object.keys(settings.partners));
      const { certificate, keys } = await certificateIn(file, passwordFile, context);
      const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
      if (certificate.validToDate.getTime() < Date.now()) {
        throw new SallyportError(
          'usage',
          `this certificate ended on ${certificate.validToDate.toISOString()}; nothing was changed`,
        );
      }
      const known = partner.certificates.includes(fingerprint);
      const [label = ''] = (settings.partnerSources.get(name) ?? '').split(/:\d+$/);
      if (!known) await register(join(dirname(settings.file), label), name, fingerprint);
      const running = await reload(settings, context);
      const { output } = context;
      const subject = certificate.subject.replaceAll('\n', ', ');
      const until = certificate.validToDate.toISOString();
      if (output.json) return output.document({ partner: name, fingerprint, subject, until, running, added: !known });
      output.line(`${known ? '=' : '+'} ${name}: certificate ${certificate.fingerprint256}`);
      output.line(`  ${subject}, until ${until}`);
      if (keys > 0) output.note('The private key in the file was not stored. It is the partner’s alone: delete your copy.');
      if (!running) output.line('The node does not run; it takes note when it starts.');
    },
    group,
  );
}

interface Found {
  readonly certificate: X509Certificate;
  readonly keys: number;
}

async function certificateIn(file: string, passwordFile: string | undefined, context: VerbContext): Promise<Found> {
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new SallyportError('usage', `${file} cannot be read: ${cause.message}`, {}, { cause });
  });
  if (bytes.length > pkcs12Bytes) throw new SallyportError('usage', `${file} is too large for a certificate`);
  const plain = readCertificate(bytes);
  if (plain) return { certificate: plain, keys: bytes.includes('PRIVATE KEY-----') ? 1 : 0 };
  const { certificates, keys } = await readPkcs12(bytes, await passwordOf(file, passwordFile, context));
  const [leaf, ...others] = certificates.filter(({ ca }) => !ca);
  const [certificate, ...more] = leaf ? [leaf, ...others] : certificates;
  if (!certificate) throw new SallyportError('usage', `${file} holds no certificate`);
  if (more.length > 0) throw new SallyportError('usage', `${file} holds several certificates of clients; export one`);
  return { certificate, keys };
}

function readCertificate(bytes: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(bytes);
  } catch {
    return undefined;
  }
}

async function passwordOf(file: string, passwordFile: string | undefined, context: VerbContext): Promise<Secret> {
  if (passwordFile === undefined) return askSecret(context, `Password of ${file}: `, 'use --password-file FILE (or -)');
  const [line = ''] = (await readSmallFile(passwordFile, context)).split(/\r?\n/);
  return new Secret(line);
}

async function register(file: string, name: string, fingerprint: string): Promise<void> {
  await editYaml(file, partSchema, (document) => {
    const place = ['partners', name, 'certificates'];
    const before = document.getIn(place);
    const all = isSeq(before) ? (before.toJSON() as unknown[]) : [];
    document.setIn(place, document.createNode([...all, fingerprint]));
    return true;
  });
}
