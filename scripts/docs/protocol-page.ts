/** docs/PROTOCOL.md: everything that can cross the tunnel, from the table of messages and the schemas of the frames. */
import type { z } from 'zod';
import { decisionSchema, grantSchema, policyBundleSchema, routeSchema, ruleSchema } from '../../shared/policy.ts';
import { tunnelProtocol } from '../../shared/tls.ts';
import { closeCodes } from '../../shared/tunnel/close-reason.ts';
import { streamFrameSchema, streamTiming } from '../../shared/tunnel/data-stream.ts';
import { envelopeSchema } from '../../shared/tunnel/envelope.ts';
import {
  type Direction,
  dmzStatusSchema,
  itemSchema,
  limits,
  notes,
  protocolVersion,
  requests,
  segmentSchema,
  streams,
  wireEventSchema,
} from '../../shared/tunnel/messages.ts';
import { headers, paths } from '../../shared/tunnel/paths.ts';
import { refusalHeader } from '../../shared/tunnel/refusals.ts';
import { code, generatedFrom, table } from './markdown.ts';
import { shapeOf, type Vocabulary } from './schema-shape.ts';

const scalars = [
  ['id', '^[a-z2-7]{26}$', '128 random bits in base32'],
  ['sha256', '^[0-9a-f]{64}$', 'SHA-256, lower-case hex'],
  ['token', '^[A-Za-z0-9_-]{43}$', '256 random bits in base64url'],
  ['base64', '^[A-Za-z0-9+/]*={0,2}$', 'base64; the limit counts characters'],
  ['partner', '^[a-z0-9][a-z0-9._-]{0,62}$', 'name of a partner: lower-case letters, digits, dot, underscore, hyphen'],
  ['address', '^[0-9a-fA-F:.]*$', 'IP address as text'],
  ['node', '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', 'name of a node'],
  ['recipient', '^age1[a-z0-9]{58}$', 'age recipient'],
] as const;

const vocabulary: Vocabulary = {
  patterns: Object.fromEntries(scalars.map(([name, pattern]) => [pattern, name])),
  schemas: [
    ['Item', itemSchema],
    ['Segment', segmentSchema],
    ['Decision', decisionSchema],
    ['Route', routeSchema],
    ['Grant', grantSchema],
    ['Rule', ruleSchema],
    ['Bundle', policyBundleSchema],
    ['Event', wireEventSchema],
    ['Status', dmzStatusSchema],
  ],
};

const shape = (schema: z.ZodType): string => shapeOf(schema, vocabulary);
const block = (text: string): string => `\`\`\`ts\n${text}\n\`\`\``;
const inline = (schema: z.ZodType): string => {
  const text = shape(schema);
  return text.includes('\n') ? `\n\n${block(text)}` : ` ${code(text)}`;
};
const size = (bytes: number): string => (bytes >= 1024 * 1024 ? `${bytes / 1024 / 1024} MiB` : `${bytes / 1024} KiB`);
const seconds = (ms: number): string => `${ms / 1000} s`;
const who: Readonly<Record<Direction, string>> = { inside: 'the inside', dmz: 'the DMZ', both: 'either side' };

interface Entry {
  readonly by: Direction;
  readonly does: string;
  readonly params: z.ZodType;
  readonly result?: z.ZodType;
  readonly flow?: 'to-inside' | 'to-dmz';
}

function entry([name, { by, does, params, result, flow }]: readonly [string, Entry]): string {
  const bytes = flow && (flow === 'to-inside' ? '\n\nBytes flow to the inside.' : '\n\nBytes flow to the DMZ, then it answers.');
  const answer = result && `\n\nResult:${inline(result)}`;
  return `### ${name}\n\nBegun by ${who[by]}. ${does}${bytes ?? ''}\n\nParameters:${inline(params)}${answer ?? ''}`;
}

const section = (entries: Readonly<Record<string, Entry>>): string => Object.entries(entries).map(entry).join('\n\n');

/** Everything that either side may begin, on one screen. */
function overview(): string {
  const rows = (kind: string, entries: Readonly<Record<string, Entry>>): string[][] =>
    Object.entries(entries).map(([name, { by, does }]) => [code(name), kind, who[by], does]);
  return table(
    ['Name', 'Kind', 'Begun by', 'Does'],
    [...rows('request', requests), ...rows('note', notes), ...rows('stream', streams)],
  );
}

const limitRows: readonly (readonly [string, string])[] = [
  ['a control message to the inside', size(limits.controlToInsideBytes)],
  ['a control message to the DMZ', size(limits.controlToDmzBytes)],
  ['a frame on a data socket', size(limits.dataFrameBytes)],
  ['requests of one side without an answer', String(limits.pendingRequests)],
  ['an answer must come within', seconds(limits.requestMs)],
  ['a heartbeat is sent every', seconds(limits.heartbeatMs)],
  ['a link on which nothing was heard is dead after', seconds(limits.deadAfterMs)],
  ['a stream without progress fails after', seconds(streamTiming.stallMs)],
  ['a sender that waits for its source says so every', seconds(streamTiming.waitMs)],
  ['a path', `${limits.pathBytes} bytes of UTF-8`],
];

export function protocolPage(): string {
  return `${generatedFrom('shared/tunnel/ and shared/policy.ts')}

# The tunnel

Version ${protocolVersion}. The internal node dials out to the DMZ node and nothing dials in. This page is the whole vocabulary: there is no
request that opens a connection to an address, and none that carries a file-system path. Each side takes the other for hostile:
what does not fit this page ends the link.

## Connection

TLS 1.3 only, application protocol \`${tunnelProtocol}\`, both ends with a certificate, key exchange X25519MLKEM768 unless both
nodes are configured to allow others, no resumption. Each end checks the other's key against the configured fingerprint, its
chain against the authority of the other node, its purpose and its dates. A refusal names the failed check in the header
${code(refusalHeader)}; an inside that refused the DMZ tells it the same way at ${code(paths.refused)}.

Inside TLS runs WebSocket (RFC 6455) without compression, fragments, pings or pongs. A link is one **control socket** at
${code(paths.control)} and a pool of **data sockets** at ${code(paths.data)}. A data socket names its link in the header
${code(headers.link)} and presents the token of its \`link.hello\` in ${code(headers.token)}.

A socket that breaks a rule ends the link. The WebSocket close frame then has status 4000 and one of these reasons:
${closeCodes.map(code).join(', ')}.

## Control messages

Text messages of JSON in canonical form: a message must be exactly what \`JSON.stringify\` makes of it after parsing, so there
are no duplicate keys, no stray blanks and no numbers that a double cannot hold. Depth is limited, lone surrogates and the keys
\`__proto__\`, \`constructor\` and \`prototype\` are refused. Unknown members are refused everywhere.

${block(shape(envelopeSchema))}

\`n\` numbers the messages of one direction from 1 without gaps. \`id\` rises with each request of a side and pairs the answer
with it. \`m\` names the request or note, \`p\` are its parameters, \`r\` is the result, \`c\` a code of [ERRORS.md](ERRORS.md).
The first message of a link is \`link.hello\`; any other before its answer ends the link. After \`link.bye\` new requests are
answered with \`link-closed\`.

## Data sockets

One stream at a time owns a data socket, so TCP is the flow control. Binary messages are the stream's bytes, in order, without
any framing of their own; text messages steer it:

${block(shape(streamFrameSchema))}

A stream to the inside: \`open\` → \`ok\`, bytes and \`wait\`s, \`end\`. A stream to the DMZ: \`open\`, bytes and \`wait\`s, \`end\` →
\`res\`. In place of any of the DMZ's frames may come \`err\`, which ends the stream; when it comes before the inside has said
\`end\`, the socket closes as well. To leave a stream early, the inside closes the data socket.

## Limits

${table(['What', 'Limit'], limitRows)}

## Overview

${overview()}

## Types

${table(
  ['Name', 'Is'],
  [
    ...scalars.map(([name, , meaning]) => [code(name), meaning]),
    [code('count'), 'whole number from 0 to 2^53 - 1'],
    [code('millis'), 'milliseconds since 1970'],
    [code('text'), 'Unicode without lone surrogates; limits count UTF-16 units'],
  ],
)}

A limit behind an array is the number of its elements.

${vocabulary.schemas.map(([name, schema]) => `### ${name}\n\n${block(shape(schema))}`).join('\n\n')}

## Requests

Asked and answered on the control socket.

${section(requests)}

## Notes

Sent on the control socket without an answer; dropped when no link is up.

${section(notes)}

## Streams

Begun by the inside, each on a data socket of its own while it lasts.

${section(streams)}
`;
}
