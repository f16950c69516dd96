/** What the kernel denies the two processes of the internal node: the agent never listens, the staff door never reaches the network. */
import type { Confinement } from '../shared/confinement/filter.ts';
import type { InternalConfig } from './config.ts';

/** Programs that are destinations are started by the agent, and have its filter: they cannot listen either. */
export const agentConfinement = ({ programs }: Pick<InternalConfig, 'programs'>): Confinement => ({
  denied: ['bind', 'listen', 'accept', 'accept4'],
  sockets: 'network',
  noFastOpen: false,
  programs: programs.length > 0 ? 'any' : 'once',
});

export const doorConfinement: Confinement = { denied: [], sockets: 'unix', noFastOpen: true, programs: 'once' };
