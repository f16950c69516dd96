/** Which source addresses may knock at the tunnel's listener at all. */
import { BlockList, isIPv6 } from 'node:net';
import { SallyportError } from '../../shared/errors.ts';

/** IPv4-mapped addresses as IPv4. */
export const plainAddress = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address);

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4');

export class SourceAddresses {
  readonly #list = new BlockList();

  /** @param entries Addresses and CIDR ranges. @throws SallyportError `config-invalid`. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address = '', prefix] = entry.split('/');
      try {
        if (prefix === undefined) this.#list.addAddress(address, familyOf(address));
        else this.#list.addSubnet(address, Number(prefix), familyOf(address));
      } catch (cause) {
        throw new SallyportError('config-invalid', `"${entry}" is not an IP address or range`, {}, { cause });
      }
    }
  }

  /** @param address As `plainAddress` gives it. */
  allows(address: string): boolean {
    return this.#list.check(address, familyOf(address));
  }
}
