/** The figures of one run of `scripts/bench`, as they stand in its JSON. */
export interface Row {
  readonly work: string;
  readonly unit: string;
  /** Values of each server in the order of the rounds. */
  readonly runs: Readonly<Record<string, number[]>>;
}

export interface Results {
  readonly at: string;
  readonly node: string;
  readonly cpu: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly latency?: { readonly p50Ms: number; readonly p99Ms: number };
  readonly idle?: { readonly sessions: number; readonly kibPerSession: number; readonly loginsPerSecond: number };
  readonly memory?: {
    readonly sizeMiB: number;
    readonly put: Peaks;
    readonly get: Peaks;
  };
}

export interface Peaks {
  readonly mibPerSecond: number;
  readonly dmzPeakMiB: number;
  readonly internalPeakMiB: number;
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Median of Sallyport by the median of OpenSSH, or where that does not play, of ProFTPD. */
export const ratio = (row: Row): number => median(row.runs.Sallyport ?? []) / median(row.runs.OpenSSH ?? row.runs.ProFTPD ?? []);
