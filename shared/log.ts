/** The operational log: pino, one JSON object per line on stdout. Audit is not this: see events/. */
import { destination, type Logger as PinoLogger, pino } from 'pino';

export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'child'>;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  readonly node: string;
  readonly level: LogLevel;
}

export function createLogger(options: LogOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { node: options.node },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ['password', 'secret', 'token', '*.password', '*.secret', '*.token'], censor: '[secret]' },
    },
    destination({ fd: 1, sync: false, minLength: 0 }),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });

const unsafe = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** A hostile text made safe for a log line or a terminal: control and bidi characters escaped, length capped. */
export function printable(text: string, maxLength = 256): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(unsafe, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
