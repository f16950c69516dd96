/**
 * What a node knows of its counterpart: the fingerprint that a person typed and, after the first contact, the counterpart's
 * authority. The authority is recorded once, durably, before that first contact counts; from then on it must be the same.
 */
import { X509Certificate } from 'node:crypto';
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../clock.ts';
import type { EventSink } from '../durable/database.ts';
import { SallyportError } from '../errors.ts';
import { event } from '../events/event.ts';
import { type NodeRole, parseFingerprint } from './fingerprint.ts';
import { checkPeer, type PeerVerdict, type PresentedPeer } from './peer-check.ts';

export interface PeerTrustDeps {
  readonly events: EventSink;
  readonly clock: Clock;
}

export interface PeerTrustOptions {
  /** Role of the other node. */
  readonly role: NodeRole;
  /** As typed. */
  readonly fingerprint: string;
  /** Where the other node's authority is recorded (PEM). */
  readonly peerCaFile: string;
}

export class PeerTrust {
  readonly #deps: PeerTrustDeps;
  readonly #options: PeerTrustOptions;
  #fingerprint = '';
  #ca: string | undefined;

  constructor(deps: PeerTrustDeps, options: PeerTrustOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Reads the recorded authority. @throws SallyportError `config-invalid` (fingerprint), `key-file` (authority). */
  load(): void {
    const { role, fingerprint, peerCaFile } = this.#options;
    const parsed = readTyped(fingerprint);
    if (parsed.role !== role) {
      throw new SallyportError(
        'config-invalid',
        `the fingerprint of the other node is one of a ${parsed.role} node, needed is a ${role} node`,
      );
    }
    this.#fingerprint = parsed.canonical;
    this.#ca = readRecorded(peerCaFile);
  }

  /** PEM of the other node's authority, once it has been met. */
  get ca(): string | undefined {
    return this.#ca;
  }

  /** The fingerprint that a person typed, canonical. */
  get fingerprint(): string {
    return this.#fingerprint;
  }

  /** Judges the peer of a finished handshake, and records its authority at first contact. */
  judge(presented: PresentedPeer): PeerVerdict {
    const expected = { role: this.#options.role, fingerprint: this.#fingerprint, recordedCa: this.#ca };
    const verdict = checkPeer(presented, expected, this.#deps.clock.nowMs());
    if (verdict.ok && this.#ca === undefined) this.#record(verdict.caPem);
    return verdict;
  }

  #record(caPem: string): void {
    writeDurably(this.#options.peerCaFile, caPem);
    this.#ca = caPem;
    const fingerprint = new X509Certificate(caPem).fingerprint256;
    void this.#deps.events
      .emit([event('link.ca-recorded', this.#deps.clock.nowMs(), {}, { fingerprint })])
      .catch(() => undefined);
  }
}

/**
 * What the peer sent in the handshake. Nothing of it has been verified but the possession of the leaf's key.
 * To be called once per socket and before anything else asks for the certificate: Node 24 gives the issuer with the first
 * look and has forgotten it at the second.
 */
export function presentedBy(socket: TLSSocket): PresentedPeer {
  const leaf = socket.getPeerX509Certificate();
  return { leaf, authority: leaf?.issuerCertificate };
}

function readTyped(fingerprint: string): ReturnType<typeof parseFingerprint> {
  try {
    return parseFingerprint(fingerprint);
  } catch (cause) {
    throw new SallyportError('config-invalid', `the fingerprint of the other node: ${(cause as Error).message}`, {}, { cause });
  }
}

function readRecorded(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return new X509Certificate(text).toString();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const detail = `the recorded authority of the other node, ${path}, cannot be used: ${(cause as Error).message}`;
    throw new SallyportError('key-file', detail, { file: path }, { cause });
  }
}

/** Happens once in the life of a pair of nodes, so it may block. */
function writeDurably(path: string, text: string): void {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
