/**
 * Introduces this internal node to a DMZ node with an invitation. Nothing of the invitation is sent before the DMZ node has proved
 * to be the one that made it, and the token itself is never sent.
 */
import { X509Certificate } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { SallyportError } from '../../shared/errors.ts';
import { enrolledSchema, enrolmentBytes, type Invitation, proveInvitation } from '../../shared/pki/invitation.ts';
import { checkPeer } from '../../shared/pki/peer-check.ts';
import { paths } from '../../shared/tunnel/paths.ts';
import { isRefusalCheck, refusalHeader } from '../../shared/tunnel/refusals.ts';
import { dialTls, explain, refusal, type TlsDialOptions } from './tls-dial.ts';

export interface EnrolledAt {
  /** Name that the DMZ node gives itself. */
  readonly node: string;
  readonly group: string;
}

/**
 * @param signal Gives up; the DMZ node may have recorded this node all the same, and the same token may be shown again.
 * @throws SallyportError `peer-refused` with the field `check`, `tunnel-down`.
 */
export async function enrol(
  invitation: Invitation,
  options: TlsDialOptions & { readonly nowMs: number },
  signal: AbortSignal,
): Promise<EnrolledAt> {
  const expected = { role: 'dmz', fingerprint: invitation.dmz, recordedCa: undefined } as const;
  const judge = { judge: (presented: Parameters<typeof checkPeer>[0]) => checkPeer(presented, expected, options.nowMs) };
  const { socket, leaf: dmz, group } = await dialTls(judge, options, signal);
  try {
    if (!dmz) throw new SallyportError('peer-refused', 'the DMZ node showed no certificate', { check: 'no-certificate' });
    const inside = new X509Certificate(options.keys.tunnelCertificatePem);
    const proof = proveInvitation(invitation, socket, { dmz, inside });
    const { node } = enrolledSchema.parse(await post(socket, JSON.stringify(proof), signal));
    return { node, group };
  } catch (error) {
    throw explain(error, options);
  } finally {
    socket.destroy();
  }
}

const answerMs = 10_000;

async function post(socket: TLSSocket, body: string, signal: AbortSignal): Promise<unknown> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => socket,
      method: 'POST',
      path: paths.enrol,
      headers: { host: 'sallyport', 'content-length': Buffer.byteLength(body), connection: 'close' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
    });
    request.once('response', resolve);
    request.once('error', reject);
    request.end(body);
  });
  const check = String(response.headers[refusalHeader] ?? '');
  if (isRefusalCheck(check)) throw refusal(check, 'dmz', `the DMZ node refused this node (${check})`);
  if (response.statusCode !== 200) {
    throw new SallyportError('tunnel-down', `the DMZ node answered ${response.statusCode ?? 0} to the invitation`);
  }
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > enrolmentBytes) throw new SallyportError('protocol-violation', 'the answer to the invitation is too long');
  }
  return JSON.parse(text);
}
