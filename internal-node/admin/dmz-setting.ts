/** Which DMZ node this node dials, as `connect` and `join` write it into the main file. */
import { type Address, parseAddress, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { internalConfigSchema } from '../config-schema.ts';
import { editYaml, setAfter } from './edit-config.ts';

/** @returns false when the file says so already. */
export function setDmz(configFile: string, { address, fingerprint }: { readonly address: string; readonly fingerprint: string }) {
  return editYaml(configFile, internalConfigSchema, (document) => {
    if (document.getIn(['dmz', 'address']) === address && document.getIn(['dmz', 'fingerprint']) === fingerprint) return false;
    if (document.has('dmz')) {
      document.setIn(['dmz', 'address'], address);
      document.setIn(['dmz', 'fingerprint'], fingerprint);
    } else setAfter(document, 'dmz', { address, fingerprint }, 'state');
    return true;
  });
}

/** @throws SallyportError `usage`. */
export function checkedAddress(text: string): Address {
  try {
    const address = parseAddress(text);
    if (address.port === 0) throw new UnitError('port 0 cannot be dialled');
    return address;
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `address: ${error.message}`);
    throw error;
  }
}
